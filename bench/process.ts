import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** Functions that another process answers; arguments and answers are copied. */
export type Services = Record<string, (...input: never[]) => unknown>;

/** The same functions, as the parent calls them. */
export type Remote<S extends Services> = {
  [Name in keyof S]: (...input: Parameters<S[Name]>) => Promise<Awaited<ReturnType<S[Name]>>>;
} & { stop(): Promise<void> };

interface Question {
  id: number;
  name: string;
  input: never[];
}

type Reply = { id: number; answer?: unknown; problem?: string };

/** Makes this process answer its parent until that one goes away, or stops it. */
export function offer(services: Services, close: () => Promise<void>): void {
  process.on("message", async ({ id, name, input }: Question) => {
    const reply: Reply = await Promise.resolve(services[name]?.(...input)).then(
      (answer) => ({ id, answer }),
      (error) => ({ id, problem: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    );
    process.send?.(reply);
  });
  process.once("disconnect", () => void close().finally(() => process.exit()));
}

/**
 * Runs a file that offers services as a process of its own, so that its work is not counted as that of the parent.
 *
 * @param file relative to this folder
 * @param flags of Node.js
 */
export function startProcess<S extends Services>(file: string, flags: string[] = []): Remote<S> {
  const path = fileURLToPath(new URL(file, import.meta.url));
  const child = fork(path, { serialization: "advanced", execArgv: [...process.execArgv, ...flags] });
  const waiting = new Map<number, (reply: Reply) => void>();
  let count = 0;
  child.on("message", (reply: Reply) => waiting.get(reply.id)?.(reply));
  const ended = once(child, "exit").then(() => {
    for (const [id, settle] of waiting) settle({ id, problem: `${file} ended` });
  });
  const call = async (name: string, input: never[]): Promise<unknown> => {
    count += 1;
    const id = count;
    const reply = await new Promise<Reply>((resolve) => {
      waiting.set(id, resolve);
      child.send({ id, name, input } satisfies Question);
    });
    waiting.delete(id);
    if (reply.problem !== undefined) throw new Error(`${file}: ${reply.problem}`);
    return reply.answer;
  };
  const stop = async (): Promise<void> => {
    if (child.connected) child.disconnect();
    await ended;
  };
  return new Proxy({} as Remote<S>, {
    get: (_, name) => (name === "stop" ? stop : (...input: never[]) => call(String(name), input)),
  });
}
