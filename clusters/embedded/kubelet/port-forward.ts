import { spawn } from "node:child_process";
import type { WebSocket } from "ws";
import type { Sandbox } from "./network.ts";
import { SpdyReader, SpdyWriter } from "./spdy.ts";
import { TOOL_PATH } from "./tools.ts";

/** Protocol of kubectl since 1.31: SPDY frames inside WebSocket messages (KEP-4006). */
export const TUNNEL = "SPDY/3.1+portforward.k8s.io";

/** Above this many bytes waiting for the client, a pod's output is not read on. */
const HIGH_WATER = 1 << 20;

/** Reads the ports in the query's `ports`. Throws RangeError for an invalid one. */
export function parsePorts(query: URLSearchParams): number[] {
  return query
    .getAll("ports")
    .flatMap((text) => text.split(","))
    .map((text) => {
      const port = Number(text);
      if (!/^\d+$/.test(text) || port < 1 || port > 65535) throw new RangeError(`unable to parse "${text}" as a port`);
      return port;
    });
}

/** Connects a client to ports of a pod: those that the request lists, or those that the tunnel's streams name. */
export function forwardPorts(client: WebSocket, sandbox: Sandbox, ports: readonly number[] | "tunnel"): void {
  if (ports === "tunnel") forwardTunnel(client, sandbox);
  else forwardChannels(client, sandbox, ports);
}

function forwardTunnel(client: WebSocket, sandbox: Sandbox): void {
  const writer = new SpdyWriter();
  const connections = new Map<number, PodConnection>();
  /** Error streams by request id. */
  const errors = new Map<string, number>();
  const send = (data: Buffer): void => {
    if (client.readyState === client.OPEN) client.send(data);
  };

  const open = (stream: number, headers: ReadonlyMap<string, string>): void => {
    send(writer.reply(stream));
    const request = headers.get("requestid") ?? "";
    if (headers.get("streamtype") === "error") {
      errors.set(request, stream);
      return;
    }
    const errorStream = errors.get(request);
    errors.delete(request);
    const port = Number(headers.get("port"));
    const connection = connectToPod(sandbox, port, {
      onData: (data) => send(writer.data(stream, data, false)),
      onEnd: (error) => {
        connections.delete(stream);
        if (errorStream !== undefined) send(writer.data(errorStream, error ?? "", true));
        send(error === undefined ? writer.data(stream, "", true) : writer.reset(stream));
      },
      isFull: () => client.bufferedAmount > HIGH_WATER,
    });
    connections.set(stream, connection);
  };

  const reader = new SpdyReader((frame) => {
    if (frame.kind === "open") open(frame.stream, frame.headers);
    if (frame.kind === "ping") send(writer.ping(frame.id));
    if (frame.kind === "data") {
      const connection = connections.get(frame.stream);
      connection?.write(frame.data);
      if (frame.last) connection?.end();
    }
    if (frame.kind === "reset") connections.get(frame.stream)?.destroy();
  });
  client.on("message", (message: Buffer) => {
    reader.push(message).catch(() => client.close(1002));
  });
  client.on("close", () => {
    for (const connection of connections.values()) connection.destroy();
  });
}

/** The older protocol: for each port a data and an error channel, each beginning with the port in two bytes. */
function forwardChannels(client: WebSocket, sandbox: Sandbox, ports: readonly number[]): void {
  let left = ports.length;
  const connections = ports.map((port, index) => {
    const send = (channel: number, data: Buffer | string): void => {
      if (client.readyState === client.OPEN) client.send(Buffer.concat([Buffer.from([channel]), Buffer.from(data)]));
    };
    const head = Buffer.from([port & 255, port >> 8]);
    send(2 * index, head);
    send(2 * index + 1, head);
    return connectToPod(sandbox, port, {
      onData: (data) => send(2 * index, data),
      onEnd: (error) => {
        if (error !== undefined) send(2 * index + 1, error);
        if (--left === 0) client.close(1000);
      },
      isFull: () => client.bufferedAmount > HIGH_WATER,
    });
  });
  client.on("message", (message: Buffer) => {
    const channel = message[0] ?? 1;
    if (channel % 2 === 0) connections[channel / 2]?.write(message.subarray(1));
  });
  client.on("close", () => {
    for (const connection of connections) connection.destroy();
  });
}

interface PodConnection {
  write(data: Buffer): void;
  end(): void;
  destroy(): void;
}

interface PodConnectionHandlers {
  onData(data: Buffer): void;
  /** @param error undefined if the connection ended normally */
  onEnd(error: string | undefined): void;
  isFull(): boolean;
}

/**
 * Connects to a port on the pod's loopback, like the kubelet: Envoy's admin port listens only there. A socket belongs to
 * the network namespace in which it was created, so a small process there creates it.
 */
function connectToPod(sandbox: Sandbox, port: number, handlers: PodConnectionHandlers): PodConnection {
  const [file, ...args] = sandbox.enter([process.execPath, "--eval", RELAY, String(port)]);
  const child = spawn(file, args, { env: { PATH: TOOL_PATH }, cwd: "/", detached: true, stdio: "pipe" });
  let error = "";
  child.stderr.on("data", (chunk: Buffer) => (error += chunk.toString()));
  child.stdout.on("data", (chunk: Buffer) => {
    handlers.onData(chunk);
    if (!handlers.isFull()) return;
    child.stdout.pause();
    const timer = setInterval(() => {
      if (handlers.isFull()) return;
      clearInterval(timer);
      child.stdout.resume();
    }, 20);
  });
  child.stdin.on("error", () => undefined);
  child.on("error", (cause) => (error ||= cause.message));
  child.on("close", () => handlers.onEnd(error ? `error forwarding port ${port} to pod: ${error.trim()}` : undefined));
  return {
    write: (data) => child.stdin.write(data),
    end: () => child.stdin.end(),
    destroy: () => child.kill("SIGKILL"),
  };
}

/** Connects its standard streams to a port of the loopback, IPv4 first. */
const RELAY = `
const { connect } = require("node:net");
const port = Number(process.argv[1]);
const fail = (error) => { process.stderr.write(error.message); process.exit(1); };
const join = (host, onError) => {
  const socket = connect({ host, port, allowHalfOpen: true }, () => {
    socket.off("error", onError).on("error", () => process.exit(0));
    process.stdin.pipe(socket).pipe(process.stdout);
    socket.on("close", () => process.exit(0));
  }).on("error", onError);
};
join("127.0.0.1", (error) => join("::1", () => fail(error)));
`;
