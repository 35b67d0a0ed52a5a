import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { RunDir } from "./run-dir.ts";

/**
 * Connects to the supervisor of a living cluster.
 * @returns the connection, which says nothing and closes when the cluster ends; undefined where none lives.
 */
export async function watchCluster(dir: RunDir): Promise<Socket | undefined> {
  const socket = connect(dir.control);
  try {
    await once(socket, "connect");
  } catch {
    return undefined; // no such file, or nobody listens behind it
  }
  socket.on("error", () => socket.destroy());
  socket.resume();
  return socket;
}
