import { type Builder, type Choices, type Tenant, useOrganizations } from "./organization.ts";

export {
  type Choices,
  IDENTITIES,
  OPEN_SECONDS as PAUSE_SECONDS,
  organizationOf,
  type ProvisionNow,
  type Tenant,
} from "./organization.ts";
export { short } from "./requests.ts";

export interface World extends Builder {
  tenant(choices?: Choices): Promise<Tenant>;
}

/** The builder under its former name, for tests that have not moved yet. */
export function useWorld(): World {
  const builder = useOrganizations();
  return Object.defineProperty(builder, "tenant", { value: builder.build }) as World;
}
