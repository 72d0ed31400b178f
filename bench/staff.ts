import { randomUUID } from "node:crypto";
import { DEFAULT_ORGANIZATION, type SimulatedClavex } from "../functions/simulated/clavex.ts";
import type { LoopPerson } from "./loops.ts";

const { slug } = DEFAULT_ORGANIZATION;
const GROUPS = 11;

/** The people of a simulated Clavex, and what can happen to them. */
export class Staff {
  readonly groups: string[];
  readonly subjects: string[] = [];
  /** The group that somebody has left last. */
  left = "";
  readonly #clavex: SimulatedClavex;

  constructor(clavex: SimulatedClavex) {
    this.#clavex = clavex;
    const run = randomUUID();
    this.groups = Array.from({ length: GROUPS }, (_, index) => `Bench ${run} ${index}`);
    for (const name of this.groups) clavex.addGroup(slug, name);
  }

  /** Somebody new, in the first groups. */
  hire(groups: number): LoopPerson {
    const email = `person.${this.subjects.length}@bench.example`;
    const { id: subject } = this.#clavex.addUser(slug, { email, first_name: "Ada", last_name: "Lovelace" });
    this.subjects.push(subject);
    const person: LoopPerson = { subject, displayName: "Ada Lovelace", email, groups: [] };
    for (const name of this.groups.slice(0, groups)) this.#join(person, name);
    return person;
  }

  rename(person: LoopPerson): LoopPerson {
    this.#clavex.updateUser(slug, person.subject, { last_name: "King" });
    person.displayName = "Ada King";
    return person;
  }

  grant(person: LoopPerson, quota: string): LoopPerson {
    this.#clavex.setAttributes(slug, person.subject, { nextcloud_quota: quota });
    return person;
  }

  /** Moves them from their first group into another known one. */
  move(person: LoopPerson): LoopPerson {
    this.left = person.groups.shift() ?? "";
    this.#clavex.removeMember(slug, this.#groupId(this.left), person.subject);
    this.#join(person, this.groups[9] ?? "");
    return person;
  }

  suspend(person: LoopPerson): LoopPerson {
    this.#clavex.suspend(slug, person.subject);
    return person;
  }

  #join(person: LoopPerson, group: string): void {
    this.#clavex.addMember(slug, this.#groupId(group), person.subject);
    person.groups.push(group);
  }

  #groupId(name: string): string {
    return this.#clavex.groupByName(slug, name)?.id ?? "";
  }
}
