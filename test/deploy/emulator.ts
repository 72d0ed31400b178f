import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export const REGION = "eu-central-1";
export const ACCOUNT = "000000000000";

/** An emulator of AWS on this machine; functions run as processes of this Node. */
export interface Emulator {
  url: string;
  /** What a client of AWS needs in its environment. */
  environment: Record<string, string>;
  stop(): Promise<void>;
}

export interface EmulatorOptions {
  /** The folder with the program. */
  bin: string;
  /** A folder for its files. */
  folder: string;
  port: number;
}

/**
 * Starts the emulator, which enforces the policies of IAM, and waits until it answers. Nothing of this process's environment goes
 * along but where programs are.
 */
export async function startEmulator({ bin, folder, port }: EmulatorOptions): Promise<Emulator> {
  const url = `http://127.0.0.1:${port}`;
  const child: ChildProcess = spawn(join(bin, "ministack"), [], {
    cwd: folder,
    env: {
      // Functions run with the Node that is first here: this one.
      PATH: `${dirname(process.execPath)}:${bin}:${process.env.PATH}`,
      HOME: folder,
      BIND_HOST: "127.0.0.1",
      GATEWAY_PORT: String(port),
      MINISTACK_REGION: REGION,
      MINISTACK_ACCOUNT_ID: ACCOUNT,
      LAMBDA_EXECUTOR: "local",
      SFTP_ENABLED: "0",
      IOT_MTLS_ENABLED: "0",
      LOG_LEVEL: "WARNING",
      AUTH: "true",
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding("utf8").on("data", (text: string) => {
      output = (output + text).slice(-20_000);
    });
  const ended = once(child, "close");
  for (;;) {
    if (child.exitCode !== null) throw new Error(`the emulator has ended:\n${output}`);
    const answer = await fetch(`${url}/_ministack/health`).catch(() => undefined);
    if (answer?.ok) break;
    await sleep(100);
  }
  return {
    url,
    environment: {
      AWS_ENDPOINT_URL: url,
      AWS_ACCESS_KEY_ID: "test",
      AWS_SECRET_ACCESS_KEY: "test",
      AWS_REGION: REGION,
      AWS_DEFAULT_REGION: REGION,
      AWS_EC2_METADATA_DISABLED: "true",
    },
    async stop() {
      child.kill();
      await ended;
    },
  };
}

/** A port of this machine that is free now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
