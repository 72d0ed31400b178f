// Imported before everything else: what needs a newer Node.js than this one must not be the first to say so.
const NEEDED = 24;

if (Number(process.versions.node.split(".")[0]) < NEEDED) {
  console.error(`clavex-nextcloud needs Node.js ${NEEDED} or later; this is ${process.version}.`);
  process.exit(1);
}
