import type { WebSocket } from "ws";
import type { PodWorker } from "./pod-worker.ts";
export function choosePortForwardProtocol(_offered: ReadonlySet<string>): string | undefined {
  return undefined;
}
export function forwardPorts(
  client: WebSocket,
  _worker: PodWorker,
  _q: URLSearchParams,
  _log: (l: string) => void,
): void {
  client.close();
}
