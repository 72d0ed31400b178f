import { type Embedded, type Endpoints, startEmbedded } from "../test/support/embedded.ts";
import { offer } from "./process.ts";

/** The embedded queue and ledger in a process of their own. */
let embedded: Embedded | undefined;

const services = {
  async open(): Promise<Endpoints> {
    embedded = await startEmbedded({ stateFolder: undefined, visibilitySeconds: 60 });
    return embedded.endpoints;
  },
};
export type EmbeddedServices = typeof services;

offer(services, async () => embedded?.stop());
