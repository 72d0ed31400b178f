import { hash } from "node:crypto";
import * as z from "zod";
import type { Scheme } from "./scheme.ts";

export const socialLoginSchema = z.strictObject({
  scheme: z.literal("sociallogin"),
  providerName: z.string().regex(/^[A-Za-z0-9_.@-]+$/, "must be of letters, digits and _ . @ -, as sociallogin has it"),
});

/** Accounts of core, found at login by the app sociallogin. */
export const socialLogin: Scheme<z.output<typeof socialLoginSchema>> = {
  /** It takes the subject's md5 when the id would be longer than 64 or have characters that a core account cannot have. */
  accountId({ providerName }, subject) {
    const profile = subject.slice(subject.lastIndexOf("/") + 1);
    const id = `${providerName}-${profile}`;
    const possible = id.length <= 64 && /^[a-z0-9_.@-]+$/i.test(profile);
    return possible ? id : `${providerName}-${hash("md5", profile)}`;
  },
  groupId: ({ providerName }, name) => `${providerName}-${name}`,
  hashesGroupIds: () => false,
  making: () => ({ by: "core" }),
  backend: undefined,
  longestName: 64,
  formula: ({ providerName }) => `"${providerName}-" and the subject`,
};
