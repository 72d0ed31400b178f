import { discoveryUrl, issuerOf } from "../clavex/discovery.ts";
import type { OidcClient } from "../clavex/management-api.ts";
import { isQuota } from "../core/quota.ts";
import {
  CLIENT_SCOPES,
  isReadable,
  logoutUri,
  READABLE_ALGORITHM,
  redirectUris,
  SCOPES,
} from "../nextcloud/user-oidc.ts";
import { type Check, type Finding, fail, ok, skipped, warn } from "./check.ts";
import type { DoctorContext } from "./context.ts";
import { harmOfQuotaClaims, idTokenClaims } from "./login.ts";

/** How Clavex signs for a client that was not registered with another wish. */
const DEFAULT_ALGORITHM = "PS256";
const RUN_SETUP = "Run npx clavex-nextcloud setup, or see docs/connect.md.";

/** What happens between Clavex and Nextcloud when somebody logs in. */
export const oidcChecks: Check[] = [
  {
    id: "oidc.discovery",
    title: "Clavex has the discovery document",
    docs: "docs/connect.md#client",
    needs: ["clavex.reachable"],
    async run(context) {
      if ((await context.discoveryAnswer()).status === 404) {
        const { baseUrl } = context.organization.clavex;
        return fail(
          `there is none at ${discoveryUrl(baseUrl, context.organization.slug)} (HTTP 404)`,
          "slug must be the organization's slug in Clavex, and clavex.baseUrl the address without it.",
        );
      }
      await context.discovery();
      return ok();
    },
  },
  {
    id: "oidc.issuer",
    title: "The issuer is the one that tokens will name",
    docs: "docs/connect.md#client",
    needs: ["oidc.discovery"],
    async run(context) {
      const { clavex, slug } = context.organization;
      const { issuer } = await context.discovery();
      const expected = issuerOf(clavex.baseUrl, slug);
      return issuer === expected
        ? ok(issuer)
        : fail(
            `Clavex calls itself ${issuer}, not ${expected}: Nextcloud refuses its tokens`,
            "Make clavex.baseUrl and slug, and Clavex's own base URL, the address that people use.",
          );
    },
  },
  {
    id: "oidc.keys",
    title: "Clavex publishes the keys that tokens are signed with",
    docs: "docs/connect.md#client",
    needs: ["oidc.discovery"],
    async run(context) {
      const keys = await context.keys();
      const usable = keys.filter(({ kty }) => ["RSA", "EC", "OKP"].includes(kty));
      return usable.length > 0
        ? ok()
        : fail("the key set holds no RSA, EC or OKP key", "Rotate the organization's signing key in Clavex.");
    },
  },
  {
    id: "oidc.authority",
    title: "Nextcloud trusts Clavex's certificate",
    docs: "docs/connect.md#own-authority",
    needs: ["clavex.reachable"],
    run: async ({ ownAuthorities, organization }) =>
      ownAuthorities && organization.clavex.baseUrl.startsWith("https:")
        ? warn(
            "this machine trusts an authority of your own (NODE_EXTRA_CA_CERTS); whether Nextcloud does cannot be seen from here",
            "Look: occ security:certificates. Add it: occ security:certificates:import FILE.pem",
          )
        : ok(),
  },
  {
    id: "oidc.provider-settings",
    title: "The provider in Nextcloud points at this organization",
    docs: "docs/connect.md#provider",
    needs: ["nextcloud.provider"],
    run: providerSettings,
  },
  {
    id: "oidc.client",
    title: "Clavex has the OIDC client for Nextcloud",
    docs: "docs/connect.md#client",
    needs: ["clavex.admin-token"],
    run: clientExists,
  },
  {
    id: "oidc.signing",
    title: "Clavex can sign id tokens so that user_oidc can read them",
    docs: "docs/connect.md#client",
    needs: ["oidc.discovery"],
    async run(context) {
      const supported = (await context.discovery()).id_token_signing_alg_values_supported;
      if (supported.some((each) => READABLE_ALGORITHM.test(each))) return ok();
      return fail(
        `Clavex signs only with ${supported.join(", ")}; user_oidc reads RS*, ES* and EdDSA`,
        "Give the organization an RSA or EC signing key in Clavex.",
      );
    },
  },
  {
    id: "oidc.signing-algorithm",
    title: "The client's id tokens are signed like that",
    docs: "docs/connect.md#client",
    needs: ["oidc.client", "oidc.signing"],
    run: signingAlgorithm,
  },
  {
    id: "oidc.redirect-uri",
    title: "The client may come back to Nextcloud",
    docs: "docs/connect.md#client",
    needs: ["oidc.client"],
    run: withClient((client, { organization }) => {
      const [plain, withIndex] = redirectUris(organization.nextcloud.baseUrl);
      return client.redirect_uris.includes(plain) || client.redirect_uris.includes(withIndex)
        ? ok()
        : fail(
            `the client's redirect URIs are ${client.redirect_uris.join(", ") || "none"}: the login ends with "redirect URI mismatch"`,
            `Add ${plain} (and ${withIndex} where Nextcloud's addresses hold index.php), or run npx clavex-nextcloud setup.`,
          );
    }),
  },
  {
    id: "oidc.logout-uri",
    title: "Logging out leads back to Nextcloud",
    docs: "docs/connect.md#client",
    needs: ["oidc.client"],
    run: withClient((client, { organization }) => {
      const uri = logoutUri(organization.nextcloud.baseUrl);
      if (client.redirect_uris.includes(uri)) return ok();
      return warn(
        `${uri} is not among the client's redirect URIs: logging out of Nextcloud ends on a page of JSON`,
        `Add ${uri} (with the slash) to the client's redirect URIs, or run npx clavex-nextcloud setup.`,
      );
    }),
  },
  {
    id: "oidc.grant-types",
    title: "The client may use the authorization code flow",
    docs: "docs/connect.md#client",
    needs: ["oidc.client"],
    run: withClient((client) => {
      const missing = [
        ...(client.grant_types.includes("authorization_code") ? [] : ["grant type authorization_code"]),
        ...(client.response_types.includes("code") ? [] : ["response type code"]),
      ];
      return missing.length === 0
        ? ok()
        : fail(`the client lacks ${missing.join(" and ")}`, "Add it to the client in Clavex.");
    }),
  },
  {
    id: "oidc.scopes",
    title: "The client may ask for name and e-mail",
    docs: "docs/connect.md#client",
    needs: ["oidc.client"],
    run: withClient((client) => {
      const missing = CLIENT_SCOPES.filter((scope) => client.scopes.length > 0 && !client.scopes.includes(scope));
      return missing.length === 0 ? ok() : fail(`the client lacks the scopes ${missing.join(", ")}`, RUN_SETUP);
    }),
  },
  {
    id: "oidc.claims",
    title: "The e-mail address reaches Nextcloud at login",
    docs: "docs/connect.md#claims",
    needs: ["oidc.client"],
    run: profileClaims,
  },
  {
    id: "oidc.groups-claim",
    title: "Groups reach Nextcloud where a login sets them",
    docs: "docs/connect.md#groups",
    needs: ["oidc.client", "nextcloud.provider"],
    run: groupsClaim,
  },
  {
    id: "oidc.quota-claim",
    title: "A login does not overwrite quotas",
    docs: "docs/connect.md#quota",
    needs: ["oidc.client"],
    run: quotaClaim,
  },
  {
    id: "oidc.picture-claim",
    title: "Pictures reach Nextcloud at login",
    docs: "docs/connect.md#claims",
    needs: ["oidc.client"],
    run: pictureClaim,
  },
  {
    id: "oidc.quota-values",
    title: "Everybody's quota attribute can be read",
    docs: "docs/connect.md#quota",
    needs: ["clavex.api-key"],
    readsEverybody: true,
    run: quotaValues,
  },
];

function withClient(
  look: (client: OidcClient, context: DoctorContext) => Finding,
): (context: DoctorContext) => Promise<Finding> {
  return async (context) => {
    const client = await context.client();
    return client ? look(client, context) : skipped("there is no client");
  };
}

async function signingAlgorithm(context: DoctorContext): Promise<Finding> {
  const client = await context.client();
  if (client === undefined) return skipped("there is no client");
  const algorithm = client.id_token_signed_response_alg || DEFAULT_ALGORITHM;
  const supported = (await context.discovery()).id_token_signing_alg_values_supported;
  if (isReadable(algorithm, supported)) return ok(algorithm);
  const cause = READABLE_ALGORITHM.test(algorithm)
    ? `the client asks for id tokens signed ${algorithm}, but Clavex signs only with ${supported.join(", ")}`
    : `the client's id tokens are signed ${algorithm}, which user_oidc cannot read`;
  return fail(
    `${cause}: every login fails`,
    "Only dynamic registration can set RS256: delete the client and run npx clavex-nextcloud setup, or register it by hand (docs/connect.md).",
  );
}

async function providerSettings(context: DoctorContext): Promise<Finding> {
  const provider = await context.provider();
  const { clavex, slug } = context.organization;
  if (provider?.discoveryEndpoint === undefined) {
    return skipped("the provider's discovery address cannot be read from outside", "Look: occ user_oidc:provider");
  }
  const expected = discoveryUrl(clavex.baseUrl, slug);
  const name = provider.identifier ?? "NAME";
  if (provider.discoveryEndpoint !== expected) {
    return fail(
      `the provider's discovery address is ${provider.discoveryEndpoint}, not ${expected}`,
      `occ user_oidc:provider ${name} --discoveryuri=${expected}`,
    );
  }
  const asked = (provider.scope ?? "").split(/\s+/);
  const missing = CLIENT_SCOPES.filter((scope) => !asked.includes(scope));
  if (missing.length === 0) return ok();
  return fail(
    `the provider does not ask for ${missing.join(", ")}`,
    `occ user_oidc:provider ${name} --scope="${SCOPES.join(" ")}"`,
  );
}

async function clientExists(context: DoctorContext): Promise<Finding> {
  const client = await context.client();
  if (client === undefined) {
    const id = (await context.provider().catch(() => undefined))?.clientId;
    return fail(
      id
        ? `the provider's client ${id} is no client of this organization`
        : "no client may come back to this Nextcloud",
      RUN_SETUP,
    );
  }
  return client.is_active
    ? ok(client.client_id)
    : fail(`the client ${client.client_id} is switched off`, "Switch it on in Clavex.");
}

const ENRICH =
  "Add mappers (npx clavex-nextcloud setup does), or let Nextcloud ask for more: occ config:system:set user_oidc enrich_login_id_token_with_userinfo --value=true --type=boolean";

/**
 * Clavex has no mapper for a full name: it comes from userinfo or not at all, and without the claim ours stays
 * (docs/facts/nextcloud.md 7). So only a missing e-mail address is worth reporting.
 */
async function profileClaims(context: DoctorContext): Promise<Finding> {
  const claims = idTokenClaims(await context.mappers());
  const provider = await context.provider().catch(() => undefined);
  const email = provider?.settings.mappingEmail || "email";
  if (claims.has(email)) return ok();
  return warn(
    `no mapper puts the claim ${email} into the id token: pre-provisioned accounts keep theirs, but nobody else gets one`,
    ENRICH,
  );
}

async function groupsClaim(context: DoctorContext): Promise<Finding> {
  const provider = await context.provider();
  if (!provider?.settings.groupProvisioning) return ok("a login leaves groups alone");
  const claim = provider.settings.mappingGroups || "groups";
  if (idTokenClaims(await context.mappers()).get(claim)?.mapper_type === "group_membership") return ok();
  return fail(
    `group provisioning is on, but no mapper puts the claim ${claim} into the id token: a login would remove everybody from all groups`,
    ENRICH,
  );
}

/** A quota claim overwrites ours even if no quota mapping is set: then it is the claim `quota` (docs/facts/nextcloud.md 7). */
async function quotaClaim(context: DoctorContext): Promise<Finding> {
  const provider = await context.provider().catch(() => undefined);
  const claim = provider?.settings.mappingQuota || "quota";
  const mapper = idTokenClaims(await context.mappers()).get(claim);
  if (mapper === undefined) return ok(`no claim ${claim}`);
  const { attribute } = context.organization.quota;
  if (mapper.mapper_type === "user_attribute" && mapper.attribute_name === attribute)
    return ok(`the attribute ${attribute}`);
  return fail(
    `the mapper ${mapper.name} fills the claim ${claim} with something else than the attribute ${attribute}: each login overwrites the quota`,
    `Delete the mapper, let it use the attribute ${attribute}, or name another claim: occ user_oidc:provider NAME --mapping-quota=CLAIM`,
  );
}

/** A picture comes at login only, and a provider's avatar mapping brings none without the claim (docs/facts/nextcloud.md 7). */
async function pictureClaim(context: DoctorContext): Promise<Finding> {
  const claim = (await context.provider().catch(() => undefined))?.settings.mappingAvatar;
  if (!claim) return ok("the provider maps no picture");
  if (idTokenClaims(await context.mappers()).has(claim)) return ok();
  return warn(
    `no mapper puts the claim ${claim} into the id token: nobody gets a picture`,
    `Add a mapper user_attribute picture -> ${claim} (npx clavex-nextcloud setup does).`,
  );
}

/** The pipeline passes over what is no quota; a login does not, where the attribute is a claim. */
async function quotaValues(context: DoctorContext): Promise<Finding> {
  const { attribute } = context.organization.quota;
  const values = (await context.users()).flatMap(({ subject, erased, attributes }) => {
    const value = Object.hasOwn(attributes, attribute) ? attributes[attribute]?.trim() : undefined;
    return !value || erased || isQuota(value) ? [] : [{ subject, value }];
  });
  if (values.length === 0) return ok();
  return fail(
    `the attribute ${attribute} is no quota for: ${values.map(({ subject }) => subject).join(", ")}; the pipeline passes it over. Where it is a claim: ${harmOfQuotaClaims(values).join("; ")}`,
    'Correct it in Clavex, such as "10 GB" or "none".',
  );
}
