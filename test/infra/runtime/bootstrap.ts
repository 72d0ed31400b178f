import { join } from "node:path";
import { pathToFileURL } from "node:url";

/** What Lambda's Node runtime does with a function: load the handler, then take events and give answers until it is ended. */
const { AWS_LAMBDA_RUNTIME_API, LAMBDA_TASK_ROOT = "", _HANDLER = "", AWS_LAMBDA_FUNCTION_NAME } = process.env;
const API = `http://${AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime`;

type Handler = (event: unknown, context: object) => Promise<unknown>;

async function post(path: string, body: unknown): Promise<void> {
  await fetch(`${API}/${path}`, { method: "POST", body: JSON.stringify(body ?? null) });
}

function describe(error: unknown): object {
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
  return { errorType: name, errorMessage: message, stackTrace: stack?.split("\n") };
}

async function load(): Promise<Handler> {
  const [file, name = ""] = _HANDLER.split(".");
  const module = await import(pathToFileURL(join(LAMBDA_TASK_ROOT, `${file}.mjs`)).href);
  if (typeof module[name] !== "function") throw new Error(`${_HANDLER} is not a function`);
  return module[name];
}

async function serve(handler: Handler): Promise<never> {
  for (;;) {
    const next = await fetch(`${API}/invocation/next`);
    const id = next.headers.get("lambda-runtime-aws-request-id") ?? "";
    const deadline = Number(next.headers.get("lambda-runtime-deadline-ms"));
    const context = {
      awsRequestId: id,
      functionName: AWS_LAMBDA_FUNCTION_NAME,
      invokedFunctionArn: next.headers.get("lambda-runtime-invoked-function-arn"),
      getRemainingTimeInMillis: () => Math.max(0, deadline - Date.now()),
    };
    try {
      await post(`invocation/${id}/response`, await handler(await next.json(), context));
    } catch (error) {
      await post(`invocation/${id}/error`, describe(error));
    }
  }
}

try {
  await serve(await load());
} catch (error) {
  await post("init/error", describe(error));
  process.exitCode = 1;
}
