import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { RunDir } from "./run-dir.ts";

/**
 * Connects to the supervisor of a running cluster.
 * @returns the connection, which carries no data and closes when the cluster ends; undefined if none runs.
 */
export async function watchCluster(dir: RunDir): Promise<Socket | undefined> {
  const socket = connect(dir.control);
  try {
    await once(socket, "connect");
  } catch {
    return undefined; // no such file, or no process listens on it
  }
  socket.on("error", () => socket.destroy());
  socket.resume();
  return socket;
}
