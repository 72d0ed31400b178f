import { editQuotas } from "../edits.ts";
import { offer } from "../process.ts";

const services = { editQuotas };
export type EditsProcess = typeof services;

offer(services, async () => undefined);
