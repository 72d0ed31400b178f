// Imported before everything else: otherwise code that needs a newer Node.js would fail first.
const NEEDED = 24;

if (Number(process.versions.node.split(".")[0]) < NEEDED) {
  console.error(`clavex-nextcloud needs Node.js ${NEEDED} or later; this is ${process.version}.`);
  process.exit(1);
}
