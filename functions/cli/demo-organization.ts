/** The demo organization and its simulated systems, loaded when a demo runs: a production run never loads them. */
export const demo = () => import("../simulated/demo.ts");
