import {
  type ClavexOrganization,
  type SimulatedClavex,
  startSimulatedClavex,
} from "../../functions/simulated/clavex.ts";
import { type SimulatedNextcloud, startSimulatedNextcloud } from "../../functions/simulated/nextcloud.ts";

export type { ClavexUser, SimulatedClavex } from "../../functions/simulated/clavex.ts";
export type { SimulatedNextcloud } from "../../functions/simulated/nextcloud.ts";

/** The login password of the simulated Nextcloud's administrator, beside the app password. */
export const LOGIN_PASSWORD = "the-login-password-of-the-administrator";

/** The app password of an account that is no administrator. */
export const CLERK_PASSWORD = "simulated-app-password-of-a-clerk";

/** Both simulated systems, Nextcloud with a user_oidc that has routes for providers. */
export async function startSystems(
  ...organizations: ClavexOrganization[]
): Promise<{ clavex: SimulatedClavex; nextcloud: SimulatedNextcloud; close(): Promise<void> }> {
  const clavex = await startSimulatedClavex({ organizations });
  const nextcloud = await startSimulatedNextcloud({
    bruteForce: true,
    apps: { provisioning_api: "1.22.0", user_oidc: "8.10.1" },
    credentials: [
      { username: "provisioner", password: "simulated-app-password-0123456789", loginPassword: LOGIN_PASSWORD },
      { username: "clerk", password: CLERK_PASSWORD, admin: false },
    ],
  });
  return {
    clavex,
    nextcloud,
    close: async () => {
      await Promise.all([clavex.close(), nextcloud.close()]);
    },
  };
}
