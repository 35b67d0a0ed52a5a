import { request as requestPlain } from "node:http";
import { request as requestTls, type RequestOptions } from "node:https";
import { PassThrough, Readable, Writable } from "node:stream";
import { ApiException, Exec, Log, type V1Status } from "@kubernetes/client-node";
import { MeshproofError } from "../model/errors.ts";
import { messageOf } from "./api-error.ts";
import type { Kube } from "./client.ts";

/** A container of a running pod. */
export interface ContainerRef {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
}

export interface ExecResult {
  readonly stdout: Buffer;
  readonly stderr: string;
  readonly exitCode: number;
}

/**
 * Runs a command in a container (`kubectl exec`, WebSocket), sends all of `stdin` and closes it.
 * @param options.stderr receives standard error as it is written; the result then does not contain it
 * @throws ERR_PROBE if the connection fails or the command cannot be started; a non-zero exit code is a result, not an error.
 */
export async function execIn(
  kube: Kube,
  where: ContainerRef,
  command: readonly string[],
  options: { stdin?: string | Buffer; stderr?: Writable; signal?: AbortSignal } = {},
): Promise<ExecResult> {
  const stdout = collect();
  const stderr = options.stderr ? { stream: options.stderr, value: () => Buffer.alloc(0) } : collect();
  // The library ends its streams when the status frame arrives; the sinks keep the output before it.
  const stdin = options.stdin === undefined ? null : Readable.from([Buffer.from(options.stdin)], { objectMode: false });
  let socket: Awaited<ReturnType<Exec["exec"]>> | undefined;
  const abort = (): void => socket?.terminate();
  options.signal?.addEventListener("abort", abort, { once: true });
  try {
    const status = await new Promise<V1Status>((resolve, reject) => {
      new Exec(kube.config)
        .exec(
          where.namespace,
          where.pod,
          where.container,
          [...command],
          stdout.stream,
          stderr.stream,
          stdin,
          false,
          resolve,
        )
        .then((opened) => {
          socket = opened;
          opened.on("close", (code: number, reason: Buffer) =>
            reject(new Error(`the connection closed before the command ended (${code} ${reason.toString()})`)),
          );
          opened.on("error", reject);
        })
        .catch((error: unknown) => reject(error instanceof Error ? error : new Error(describe(error))));
    });
    const exitCode = exitCodeOf(status);
    if (exitCode === undefined) throw new Error(status.message ?? "the command could not be started");
    return { stdout: stdout.value(), stderr: stderr.value().toString("utf8"), exitCode };
  } catch (cause) {
    options.signal?.throwIfAborted();
    throw new MeshproofError(
      "ERR_PROBE",
      `running ${command[0] ?? "a command"} in ${where.namespace}/${where.pod} (container ${where.container}) failed: ${messageOf(cause)}`,
      { cause },
    );
  } finally {
    options.signal?.removeEventListener("abort", abort);
    socket?.close();
  }
}

/** Reads a container's log since a time. */
export async function readLog(kube: Kube, where: ContainerRef, since: Date): Promise<string> {
  const sink = new PassThrough();
  const chunks: Buffer[] = [];
  sink.on("data", (chunk: Buffer) => chunks.push(chunk));
  const ended = new Promise<void>((resolve, reject) => {
    sink.once("end", resolve);
    sink.once("error", reject);
  });
  await new Log(kube.config).log(where.namespace, where.pod, where.container, sink, { sinceTime: since.toISOString() });
  await ended;
  return Buffer.concat(chunks).toString("utf8");
}

/** TCP keep-alive detects a connection whose peer is gone without closing it. */
const KEEP_ALIVE_MS = 30_000;

/**
 * Streams a container's log as it is written, until the container ends or the server closes the stream. Uses `node:http`,
 * because the library's stream ends the process if its connection breaks.
 * @param options.sinceSeconds how far back the log starts, at least 1, by the server's clock
 * @throws ApiException if the server rejects the request; or the error that broke the connection
 */
export async function followLog(
  kube: Kube,
  where: ContainerRef,
  options: { readonly sinceSeconds: number; readonly signal: AbortSignal; readonly onOpen?: () => void },
  onChunk: (chunk: Buffer) => void,
): Promise<void> {
  const server = kube.config.getCurrentCluster()?.server ?? "";
  const url = new URL(`${server}/api/v1/namespaces/${where.namespace}/pods/${where.pod}/log`);
  const query = { container: where.container, follow: "true", sinceSeconds: String(options.sinceSeconds) };
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  const requestOptions: RequestOptions = { signal: options.signal };
  await kube.config.applyToHTTPSOptions(requestOptions);
  await new Promise<void>((resolve, reject) => {
    const request = (url.protocol === "http:" ? requestPlain : requestTls)(url, requestOptions, (response) => {
      const refusal: Buffer[] = [];
      const status = response.statusCode ?? 0;
      if (status === 200) options.onOpen?.();
      response.on("data", (chunk: Buffer) => (status === 200 ? onChunk(chunk) : refusal.push(chunk)));
      response.once("end", () => {
        if (status === 200) return resolve();
        reject(new ApiException(status, "log", Buffer.concat(refusal).toString("utf8"), {}));
      });
      response.once("error", reject);
    });
    request.setSocketKeepAlive(true, KEEP_ALIVE_MS);
    request.once("error", reject);
    request.end();
  });
}

/** `Success` is 0; `NonZeroExitCode` names the code in its causes (Kubernetes exec protocol, channel 3). */
function exitCodeOf(status: V1Status): number | undefined {
  if (status.status === "Success") return 0;
  const cause = status.details?.causes?.find((c) => c.reason === "ExitCode");
  return cause?.message === undefined ? undefined : Number(cause.message);
}

function collect(): { stream: Writable; value: () => Buffer } {
  const chunks: Buffer[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done): void {
      chunks.push(chunk);
      done();
    },
  });
  return { stream, value: () => Buffer.concat(chunks) };
}

function describe(error: unknown): string {
  return typeof error === "object" && error !== null && "message" in error ? String(error.message) : String(error);
}
