/**
 * What the OCS codes of refusals say, in the versions 27 to 34 (docs/facts/nextcloud.md 6). Which code of a family comes
 * depends on the version, so the family is what is asked for; what a refused call has left behind, only a look at the account
 * tells. HTTP statuses say the rest: 405 to PATCH before 34, 400 without a body to a parameter of a wrong type from 34 on, 429 in
 * words to every login while brute-force protection blocks the address, and without a body for the limit of edits.
 */
export const CODES = {
  /** Bad data, a race, or somebody or something that exists already: 102 and 103 on 27 are 101, 112 and 113 from 32 on. */
  refused: [101, 102, 103, 112, 113],
  /** Nobody, or nothing, of this id. */
  missing: [404, 998],
  groupMissing: 104,
} as const;
