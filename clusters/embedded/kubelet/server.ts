import { createServer } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import { attachToContainer } from "./attach.ts";
import { chooseSubprotocol } from "./channels.ts";
import type { ContainerWorker } from "./container-worker.ts";
import { execInContainer } from "./exec.ts";
import { matches, parseLogQuery, renderLine, selectLines } from "./log-lines.ts";
import { forwardPorts, parsePorts, TUNNEL } from "./port-forward.ts";
import type { PodWorker } from "./pod-worker.ts";

export interface ServerOptions {
  readonly address: string;
  readonly port: number;
  readonly tls: { readonly cert: string; readonly key: string; readonly clientCa: string };
  readonly workers: () => Iterable<PodWorker>;
  readonly log: (line: string) => void;
}

/** An error response of the kubelet's API. */
class HttpError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Serves the kubelet's HTTPS API to clients with a certificate of the cluster's CA; returns a function that ends it. */
export async function serveKubelet(options: ServerOptions): Promise<() => Promise<void>> {
  const server = createServer({
    cert: options.tls.cert,
    key: options.tls.key,
    ca: options.tls.clientCa,
    requestCert: true,
    rejectUnauthorized: true,
  });
  const sockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => chooseSubprotocol(offered) ?? false,
    maxPayload: 32 << 20,
  });
  const tunnels = new WeakSet<IncomingMessage>();
  sockets.on("headers", (lines, request) => {
    if (tunnels.has(request)) lines.push(`Sec-WebSocket-Protocol: ${TUNNEL}`);
  });
  server.on("request", (request, response) => {
    try {
      answer(options, request, response);
    } catch (error) {
      fail(response, error);
    }
  });
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    try {
      upgrade(options, sockets, tunnels, request, socket, head);
    } catch (error) {
      const status = error instanceof HttpError ? error.status : 500;
      const message = (error as Error).message;
      socket.end(
        `HTTP/1.1 ${status} Error\r\ncontent-type: text/plain\r\ncontent-length: ${Buffer.byteLength(message)}\r\nconnection: close\r\n\r\n${message}`,
      );
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.address, resolve);
  });
  server.on("error", (error) => options.log(`kubelet API: ${error.message}`));
  return async () => {
    for (const client of sockets.clients) client.terminate();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
}

function answer(options: ServerOptions, request: IncomingMessage, response: ServerResponse): void {
  const url = urlOf(request);
  const [kind, namespace, pod, container] = url.pathname.split("/").slice(1).map(decodeURIComponent);
  switch (kind) {
    case "healthz":
      response.end("ok");
      return;
    case "pods":
    case "runningpods": {
      const workers = [...options.workers()].filter(
        (w) => kind === "pods" || w.containers.some(({ running }) => running),
      );
      response.setHeader("content-type", "application/json");
      response.end(
        JSON.stringify({ kind: "PodList", apiVersion: "v1", metadata: {}, items: workers.map((w) => w.pod) }),
      );
      return;
    }
    case "containerLogs":
      sendLogs(findContainer(options, namespace, pod, container), url.searchParams, response);
      return;
    default:
      throw new HttpError(404, `${url.pathname} is not served`);
  }
}

function sendLogs(worker: ContainerWorker, parameters: URLSearchParams, response: ServerResponse): void {
  const query = parseLogQuery(parameters, new Date());
  const log = worker.logs.get(query.previous);
  if (!log) {
    const { state } = worker.record;
    const name = worker.spec.name;
    if (query.previous) throw new HttpError(400, `previous terminated container "${name}" not found`);
    if (state.kind === "waiting" && /ImagePull/.test(state.reason))
      throw new HttpError(400, `container "${name}" is waiting to start: trying and failing to pull image`);
    throw new HttpError(
      400,
      `container "${name}" is waiting to start: ${state.kind === "waiting" ? state.reason : state.kind}`,
    );
  }
  response.setHeader("content-type", "text/plain");
  let left = query.limitBytes ?? Infinity;
  const send = (data: Buffer): void => {
    if (left <= 0) return;
    response.write(data.subarray(0, left));
    left -= data.length;
    if (left <= 0) response.end();
  };
  const lines = selectLines(log.read(), query);
  if (!query.follow) {
    send(Buffer.concat(lines.map((line) => renderLine(line, query))));
    response.end();
    return;
  }
  response.flushHeaders();
  // Read and follow in one turn of the event loop, so that no line is lost or duplicated.
  for (const line of lines) send(renderLine(line, query));
  const stop = log.follow(
    (line) => {
      if (matches(line, query)) send(renderLine(line, query));
    },
    () => response.end(),
  );
  response.on("close", stop);
}

function upgrade(
  options: ServerOptions,
  sockets: WebSocketServer,
  tunnels: WeakSet<IncomingMessage>,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): void {
  const url = urlOf(request);
  const [kind, namespace, pod, container] = url.pathname.split("/").slice(1).map(decodeURIComponent);
  if (kind === "portForward") {
    const { sandbox } = findPod(options, namespace, pod);
    if (!sandbox) throw new HttpError(400, `pod "${pod}" has no network yet`);
    const ports = parsePorts(url.searchParams);
    // The tunnel's name contains a slash, which is not valid in a token (RFC 6455, section 4.1): ws refuses it, so this code answers.
    const tunnel = request.headers["sec-websocket-protocol"] === TUNNEL;
    if (tunnel) {
      delete request.headers["sec-websocket-protocol"];
      tunnels.add(request);
    }
    sockets.handleUpgrade(request, socket, head, (client) => forwardPorts(client, sandbox, tunnel ? "tunnel" : ports));
    return;
  }
  if (kind !== "exec" && kind !== "attach") throw new HttpError(404, `${url.pathname} is not served`);
  const worker = findContainer(options, namespace, pod, container);
  const { running } = worker;
  if (!running) throw new HttpError(400, `container not found ("${container}"): it does not run`);
  const flag = (...names: string[]): boolean =>
    names.some((name) => ["1", "true"].includes(url.searchParams.get(name) ?? ""));
  const streams = {
    stdin: flag("stdin", "input"),
    stdout: flag("stdout", "output"),
    stderr: flag("stderr", "error"),
    tty: flag("tty"),
  };
  const command = url.searchParams.getAll("command");
  if (kind === "exec" && command.length === 0)
    throw new HttpError(400, "you must specify at least one command for the container");
  sockets.handleUpgrade(request, socket, head, (client) => {
    if (kind === "exec") execInContainer(client, running, { command, ...streams });
    else attachToContainer(client, worker, running, streams);
  });
}

function findPod(options: ServerOptions, namespace = "", name = ""): PodWorker {
  for (const worker of options.workers())
    if (worker.pod.metadata?.namespace === namespace && worker.pod.metadata.name === name) return worker;
  throw new HttpError(404, `pod "${name}" does not exist`);
}

function findContainer(options: ServerOptions, namespace = "", pod = "", name = ""): ContainerWorker {
  const found = findPod(options, namespace, pod).containers.find(({ spec }) => spec.name === name);
  if (!found) throw new HttpError(404, `container "${name}" not found in pod "${pod}"`);
  return found;
}

function urlOf(request: IncomingMessage): URL {
  return new URL(request.url ?? "/", "https://kubelet");
}

function fail(response: ServerResponse, error: unknown): void {
  response.statusCode = error instanceof HttpError ? error.status : error instanceof RangeError ? 400 : 500;
  response.end((error as Error).message);
}
