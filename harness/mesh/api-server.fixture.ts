/** An API server that answers what a test says. */

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import { KubeConfig } from "@kubernetes/client-node";
import { WebSocketServer } from "ws";
import { connectWith, type Kube } from "./client.ts";

export interface ApiAnswers {
  /** Answers one HTTP request, such as a watch. */
  readonly http?: (request: IncomingMessage, response: ServerResponse) => void;
  /** Answers one `exec`. */
  readonly exec?: (command: readonly string[], container: string) => Ran;
}

export interface Ran {
  readonly stdout?: string;
  readonly stderr?: string;
}

export async function serveApi(t: TestContext, { http, exec }: ApiAnswers): Promise<Kube> {
  const server = createServer(http).listen(0, "127.0.0.1");
  const sockets = new WebSocketServer({ server, handleProtocols: () => "v4.channel.k8s.io" });
  sockets.on("connection", (socket, { url }) => {
    const { searchParams } = new URL(url ?? "", "http://localhost");
    const ran = exec?.(searchParams.getAll("command"), searchParams.get("container") ?? "") ?? {};
    const send = (channel: number, text: string): void =>
      socket.send(Buffer.concat([Buffer.from([channel]), Buffer.from(text)]));
    send(1, ran.stdout ?? "");
    send(2, ran.stderr ?? "");
    send(3, JSON.stringify({ status: "Success" }));
    socket.close();
  });
  await new Promise((resolve) => server.once("listening", resolve));
  t.after(() => (sockets.close(), server.closeAllConnections(), server.close()));
  const { port } = server.address() as AddressInfo;
  const config = new KubeConfig();
  config.loadFromClusterAndUser(
    { name: "test", server: `http://127.0.0.1:${port}`, skipTLSVerify: true },
    { name: "test" },
  );
  return connectWith(config);
}

/** Sends events of a watch, and leaves it open. */
export function sendEvents(
  response: ServerResponse,
  ...events: readonly (readonly [type: string, object: object])[]
): void {
  for (const [type, object] of events) response.write(`${JSON.stringify({ type, object })}\n`);
}
