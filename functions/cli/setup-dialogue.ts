import { logIn, organizationInToken } from "../clavex/administrator.ts";
import { createManagementApi, findOrganizationId } from "../clavex/management-api.ts";
import { Failure } from "../core/failure.ts";
import { normalAddress } from "../core/organization.ts";
import { printable } from "../core/text.ts";
import { createPool } from "../http.ts";
import { createOcs, NEXTCLOUD_TIMEOUTS, type Ocs } from "../nextcloud/ocs.ts";
import { configuredProviders, listProviders } from "../nextcloud/providers.ts";
import { readAppVersion } from "../nextcloud/server.ts";
import {
  clavexProblem,
  credentialsProblem,
  nextcloudProblem,
  sentence,
  slugProblem,
  webhookProblem,
} from "../setup/checks.ts";
import { type AccountIds, type Erased, NO_WEBHOOK } from "../setup/context.ts";
import type { Kept, KeptAnswers } from "../setup/kept-answers.ts";
import { ADMIN_EMAIL, ADMIN_PASSWORD, ADMIN_TOKEN, completeWebhookUrl } from "./doctor-options.ts";
import { askFor, choose, hidden } from "./prompt.ts";
import { CommandError } from "./report.ts";
import {
  APP_PASSWORD,
  type Asked,
  type Given,
  isUuid,
  sameOrganization,
  switches,
  USERNAME,
  webhookOf,
  withClavex,
} from "./setup-answers.ts";
import { complain } from "./terminal.ts";

/** Nextcloud locks an address after eleven failed logins in half an hour, whoever they were for. */
const MOST_FAILED_LOGINS = 3;

/**
 * Asks for everything that options, environment and the organization's file leave open, one by one. Each answer
 * is tried at once, and asked for again while something is wrong with it; those without a secret are kept as they come.
 *
 * @throws {Interrupted} on Ctrl-C, {CommandError} after too many failed logins to Nextcloud
 */
export async function converse(given: Given, kept: KeptAnswers): Promise<Asked> {
  const talk = await Talk.begin(given, kept);
  const clavexUrl = await talk.clavexUrl();
  const slug = await talk.slug(clavexUrl);
  const { token, organizationId } = await talk.administrator(clavexUrl, slug);
  const webhookUrl = await talk.webhookUrl(clavexUrl, slug);
  const nextcloudUrl = await talk.nextcloudUrl();
  const { username, appPassword } = await talk.credentials(nextcloudUrl, slug);
  const provider = await talk.provider(nextcloudUrl, username, appPassword ?? (await talk.keptPassword(slug)));
  return {
    answers: {
      ...{ slug, organizationId, clavexUrl, nextcloudUrl, username, webhookUrl },
      ...switches(given.options, given.known),
      ...provider,
      erased: await talk.erased(),
    },
    token,
    appPassword,
  };
}

/** The answer to who logs in that asks for a token instead. */
const BY_TOKEN = "token";

/** A question whose answer is kept. */
interface Asking {
  /** Where the answer is found; shown once, before the question. */
  hint: string;
  message: string;
  check: (answer: string) => Promise<string | undefined> | string | undefined;
  /** What was given on the command line: it is asked for only when something is wrong with it. */
  given?: string | undefined;
}

class Talk {
  readonly #given: Given;
  readonly #kept: KeptAnswers;
  /** What was answered last, in this run or an earlier one. */
  readonly #before: Kept;

  private constructor(given: Given, kept: KeptAnswers, before: Kept) {
    this.#given = given;
    this.#kept = kept;
    this.#before = before;
  }

  static async begin(given: Given, kept: KeptAnswers): Promise<Talk> {
    const before = await kept.read();
    const { organization = before.slug } = given.options;
    // Answers about another organization are useless, except where its servers are.
    const { clavexUrl, nextcloudUrl } = before;
    const usable = organization === before.slug ? before : { clavexUrl, nextcloudUrl };
    if (!given.known) say("Each answer is tried at once. Enter takes what is suggested, Ctrl-C ends without a change.");
    return new Talk(given, kept, usable);
  }

  async clavexUrl(): Promise<string> {
    const { options, known } = this.#given;
    if (known && options.clavexUrl === undefined) return known.clavex.baseUrl;
    const answer = await this.#settle("clavexUrl", {
      hint: "Clavex: its address is what the browser shows before the organization's slug.",
      message: "Address of Clavex:",
      given: options.clavexUrl,
      check: clavexProblem,
    });
    return normalAddress(answer);
  }

  async slug(clavexUrl: string): Promise<string> {
    const { options, known } = this.#given;
    if (known) return known.slug;
    return this.#settle("slug", {
      hint: `The slug names the organization in Clavex's addresses, as in ${clavexUrl}/acme.`,
      message: "Slug of the organization:",
      given: options.organization,
      check: (slug) => slugProblem(clavexUrl, slug),
    });
  }

  /** An administrator's token, and the organization's UUID. */
  async administrator(clavexUrl: string, slug: string): Promise<{ token: string | undefined; organizationId: string }> {
    const { options, known } = this.#given;
    const organizationId = (options.organizationId ?? known?.organizationId ?? "").toLowerCase();
    const token = process.env[ADMIN_TOKEN];
    if (token) return { token, organizationId: organizationId || (await this.#uuid(clavexUrl, slug, token)) };
    say(
      `Setup logs in to Clavex as an administrator (role admin), for this run only. Where that takes more than a password, answer ${BY_TOKEN}.`,
    );
    for (let email = process.env[ADMIN_EMAIL] ?? ""; ; email = "") {
      const login = await this.#login(clavexUrl, slug, email);
      if (login === undefined) break;
      try {
        const { token: fresh, organizationId: own } = await withClavex(clavexUrl, (pool) =>
          logIn({ pool, baseUrl: clavexUrl }, login),
        );
        if (login.slug === slug)
          return { token: fresh, organizationId: sameOrganization({ slug, organizationId }, own) };
        return { token: fresh, organizationId: organizationId || (await this.#uuid(clavexUrl, slug, fresh)) };
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        refuse(`${sentence(error)}${error.code === "clavex-second-factor" ? ` ${error.fix}` : ""}`);
        if (error.code === "clavex-second-factor") break;
      }
    }
    return this.#token(clavexUrl, slug, organizationId);
  }

  /** @returns undefined for somebody who would rather give a token */
  async #login(clavexUrl: string, slug: string, given: string) {
    const email =
      given ||
      (await askFor({
        message: "E-mail address of the administrator:",
        suggestion: this.#before.adminEmail,
        check: (answer) =>
          answer.includes("@") || answer === BY_TOKEN ? undefined : `That is not an e-mail address, nor ${BY_TOKEN}.`,
      }));
    if (email === BY_TOKEN) return undefined;
    const own =
      this.#given.options.adminOrganization ??
      (given
        ? slug
        : await askFor({
            message: "Slug of their own organization:",
            suggestion: this.#before.adminOrganization ?? slug,
            check: (answer) => slugProblem(clavexUrl, answer),
          }));
    await this.#keep({ adminEmail: email, adminOrganization: own });
    const password = (given && process.env[ADMIN_PASSWORD]) || (await hidden("Their password in Clavex:"));
    return { slug: own, email, password };
  }

  async #token(clavexUrl: string, slug: string, organizationId: string) {
    for (;;) {
      const token = await hidden("Token of an administrator (empty: the steps in Clavex are left to you):");
      if (token === "") {
        const known = organizationId || (await this.#askForUuid(() => undefined));
        return { token: undefined, organizationId: known };
      }
      try {
        return { token, organizationId: organizationId || (await this.#uuid(clavexUrl, slug, token)) };
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        refuse(sentence(error));
      }
    }
  }

  /** The UUID of the organization that a token of another one's administrator works on: superadmins see it. */
  async #uuid(clavexUrl: string, slug: string, token: string): Promise<string> {
    const connection = { baseUrl: clavexUrl, token: async () => token };
    return withClavex(clavexUrl, async (pool) => {
      const found = await findOrganizationId({ ...connection, pool }, slug);
      if (found !== undefined) return found;
      const check = async (organizationId: string) => {
        const management = createManagementApi({ ...connection, organizationId, pool });
        return management.permissions().then(() => undefined, problemOf);
      };
      return this.#askForUuid(check, organizationInToken(token));
    });
  }

  #askForUuid(check: Asking["check"], suggestion?: string): Promise<string> {
    this.#before.organizationId ??= suggestion;
    return this.#settle("organizationId", {
      hint: "This login does not tell the organization's UUID for certain: it is part of the address of its pages in Clavex's console.",
      message: "UUID of the organization:",
      check: (id) =>
        isUuid(id.toLowerCase())
          ? check(id.toLowerCase())
          : "That is not a UUID, such as 0b9d7d4e-8f5b-4f0e-9a44-5a0d2f6f7c10.",
    }).then((id) => id.toLowerCase());
  }

  async webhookUrl(clavexUrl: string, slug: string): Promise<string | undefined> {
    const { options, known, pipeline } = this.#given;
    const settled = options.webhookUrl === undefined ? webhookOf(options, known, clavexUrl, pipeline, slug) : undefined;
    if (settled !== undefined || options.remove) return settled;
    const answer = await this.#settle("webhookUrl", {
      hint: `Clavex posts changes to the public https address of this pipeline. Without one type ${NO_WEBHOOK}: changes then arrive by reconciliation, within ten minutes.`,
      message: "Public address of the pipeline:",
      given: options.webhookUrl,
      check: (url) => (url === NO_WEBHOOK ? undefined : webhookProblem(url)),
    });
    return answer === NO_WEBHOOK ? NO_WEBHOOK : completeWebhookUrl(answer, slug);
  }

  async nextcloudUrl(): Promise<string> {
    const { options, known } = this.#given;
    if (known && options.nextcloudUrl === undefined) return known.nextcloud.baseUrl;
    const answer = await this.#settle("nextcloudUrl", {
      hint: "Nextcloud: its address is what the browser shows before /index.php, /apps or /login.",
      message: "Address of Nextcloud:",
      given: options.nextcloudUrl,
      check: nextcloudProblem,
    });
    return normalAddress(answer);
  }

  /** The account for the pipeline, with its password where that is not kept already. */
  async credentials(baseUrl: string, slug: string): Promise<{ username: string; appPassword: string | undefined }> {
    const { options, known } = this.#given;
    let username = options.username ?? known?.nextcloud.username;
    const stored = await this.keptPassword(slug);
    const given = process.env[APP_PASSWORD] || undefined;
    if (username !== undefined && given === undefined && stored !== undefined)
      return { username, appPassword: undefined };
    say(
      "The pipeline needs an administrator's account in Nextcloud. Its app password is created there, under Settings, Security, Devices & sessions; its login password works too.",
    );
    let waiting = given ?? stored;
    for (let failed = 0; ; ) {
      username ??= await askFor({
        message: "User name of that account:",
        suggestion: this.#before.username ?? USERNAME,
        check: notEmpty,
      });
      await this.#keep({ username });
      const password = waiting ?? (await hidden("Its app password or password:"));
      const verdict = password === "" ? EMPTY_PASSWORD : await credentialsProblem(baseUrl, username, password);
      if (verdict === undefined) return { username, appPassword: password === stored ? undefined : password };
      failed += verdict.counted ? 1 : 0;
      if (verdict.final) throw new CommandError(verdict.problem);
      if (failed >= MOST_FAILED_LOGINS) {
        throw new CommandError(
          `${verdict.problem} Setup stops here, because Nextcloud locks an address after eleven failed logins: look the password up, then run setup again.`,
        );
      }
      refuse(verdict.problem);
      [username, waiting] = [undefined, undefined];
    }
  }

  async keptPassword(slug: string): Promise<string | undefined> {
    return (await this.#given.storeFor(slug)).read("appPassword");
  }

  /** How people log in: with which app, and by which provider where Nextcloud does not show that. */
  async provider(
    baseUrl: string,
    username: string,
    password: string | undefined,
  ): Promise<Pick<Asked["answers"], "accountIds" | "providerName"> & { providerId?: number }> {
    const { options, known } = this.#given;
    if (known || options.remove || password === undefined) return {};
    const pool = createPool(baseUrl, 1, NEXTCLOUD_TIMEOUTS);
    try {
      const ocs = createOcs({ baseUrl, username, password: async () => password, pool });
      const app = await this.#loginApp(ocs);
      if (app === "sociallogin") return { providerName: await this.#providerName() };
      const isHidden = app === "user_oidc" && (await listProviders(ocs)) === undefined;
      const providerId = isHidden ? await this.#providerId(ocs, options.providerId) : options.providerId;
      if (!isHidden || providerId === undefined) return {};
      return { providerId, accountIds: await this.#accountIds() };
    } finally {
      await pool.close();
    }
  }

  /** The app that people log in with; undefined where that is left for later. */
  async #loginApp(ocs: Ocs): Promise<"user_oidc" | "sociallogin" | undefined> {
    while ((await readAppVersion(ocs, "user_oidc")) === undefined) {
      const hasSocialLogin = (await readAppVersion(ocs, "sociallogin")) !== undefined;
      say("The app user_oidc, with which people log in, is not enabled in Nextcloud: occ app:install user_oidc");
      const next = await choose("How should setup continue?", [
        { value: "again", name: "it is enabled now: look again" },
        ...(hasSocialLogin ? [{ value: "sociallogin", name: "people log in with the app sociallogin" } as const] : []),
        { value: "later", name: "without it: the plan says what is left" },
      ]);
      if (next === "sociallogin") return next;
      if (next === "later") return undefined;
    }
    return "user_oidc";
  }

  #providerName(): Promise<string> {
    return this.#settle("providerName", {
      hint: "The provider's internal name is shown in Nextcloud under Settings, Social login. Every account id begins with it.",
      message: "Internal name of the provider:",
      check: (name) => (/^[A-Za-z0-9_.@-]+$/.test(name) ? undefined : "It has only letters, digits and _ . @ -."),
    });
  }

  async #providerId(ocs: Ocs, given: number | undefined): Promise<number | undefined> {
    const there = await configuredProviders(ocs);
    const answer = await this.#settle("providerId", {
      hint: "This user_oidc does not show its login providers. occ user_oidc:provider lists them, each with its id.",
      message: "Id of the provider for Clavex (empty: there is none yet):",
      given: given === undefined ? undefined : String(given),
      check: (id) =>
        id === "" || /^[1-9]\d*$/.test(id)
          ? undefined
          : `That is not an id${there.length > 0 ? `, such as ${there[0]}` : ""}.`,
      mayBeEmpty: true,
    });
    return answer === "" ? undefined : Number(answer);
  }

  async #accountIds(): Promise<AccountIds> {
    say(
      "How it computes account ids decides who people are in Nextcloud: a wrong answer gives everybody a second account.",
    );
    const ids = await choose("Its ids are:", [
      { value: "unique", name: "unique user ids (--unique-uid=1, the default)" },
      { value: "raw", name: "the subject itself (--unique-uid=0)" },
      { value: "provider", name: "the provider's name and the subject (providerBasedId)" },
    ]);
    if (ids !== "provider") return { uniqueUserIds: ids === "unique" };
    const providerIdentifier = await this.#settle("providerIdentifier", {
      hint: "The name of a provider is its identifier in occ user_oidc:provider.",
      message: "Identifier of the provider:",
      check: notEmpty,
    });
    return { uniqueUserIds: false, providerBasedIds: true, providerIdentifier };
  }

  /** What happens to people who are erased in Clavex. An organization's file has already decided. */
  async erased(): Promise<Erased | undefined> {
    const { options, known } = this.#given;
    if (options.erased !== undefined || known || options.remove) return options.erased;
    say("When Clavex erases a person (GDPR), their account in Nextcloud is disabled. Their files and shares stay.");
    return choose<Erased>("And their name and e-mail address in Nextcloud:", [
      { value: "disable", name: "stay (the default)" },
      { value: "anonymise", name: "are erased there too" },
    ]);
  }

  /** Takes what was given if nothing is wrong with it, else asks; the answer is kept. */
  async #settle(name: keyof Kept, asking: Asking & { mayBeEmpty?: true }): Promise<string> {
    const { hint, message, given, mayBeEmpty } = asking;
    const check = async (answer: string) => (mayBeEmpty ? undefined : notEmpty(answer)) ?? (await asking.check(answer));
    const wrong = given === undefined ? undefined : await check(given);
    const isRight = given !== undefined && wrong === undefined;
    if (!isRight) say(hint);
    if (wrong !== undefined) refuse(wrong);
    const suggestion = given ?? this.#before[name];
    const answer = isRight ? given : await askFor({ message, suggestion, check });
    await this.#keep({ [name]: answer });
    return answer;
  }

  async #keep(answers: Kept): Promise<void> {
    Object.assign(this.#before, answers);
    await this.#kept.write(answers);
  }
}

const EMPTY_PASSWORD = { problem: "Without a password there is no way in.", counted: false, final: false };

function notEmpty(answer: string): string | undefined {
  return answer === "" ? "An answer is needed here." : undefined;
}

function problemOf(error: unknown): string {
  if (error instanceof Failure) return sentence(error);
  throw error;
}

/** Text between questions goes where they go: to stderr. */
function say(text: string): void {
  complain("");
  complain(printable(text));
}

/** Says what is wrong with the last answer. */
function refuse(problem: string): void {
  complain(printable(`! ${problem}`));
}
