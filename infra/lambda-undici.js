/*
 * The part of undici that the functions use. The bundles hold it in place of the whole, whose fetch, web sockets, caches and
 * mocks were a third of the worker's cold start.
 */
import * as api from "../node_modules/undici/lib/api/index.js";
import Dispatcher from "../node_modules/undici/lib/dispatcher/dispatcher.js";
import Pool from "../node_modules/undici/lib/dispatcher/pool.js";

// As undici's main module does.
Object.assign(Dispatcher.prototype, api);

export { parseSetCookie as parseCookie } from "../node_modules/undici/lib/web/cookies/parse.js";
export { Dispatcher, Pool };
