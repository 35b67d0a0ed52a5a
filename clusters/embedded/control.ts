import { once } from "node:events";
import { connect, type Socket } from "node:net";
import type { RunDir } from "./run-dir.ts";

/** On the control socket: `watch` lasts as long as the cluster does; `stop` ends it. */
export type Command = "watch" | "stop";

/**
 * Speaks to the supervisor of a living cluster.
 * @returns the connection, which closes when the cluster ends; undefined where none lives.
 */
export async function command(dir: RunDir, word: Command): Promise<Socket | undefined> {
  const socket = connect(dir.control);
  try {
    await once(socket, "connect");
  } catch {
    return undefined; // no such file, or nobody listens behind it
  }
  socket.on("error", () => socket.destroy());
  socket.resume();
  socket.write(`${word}\n`);
  return socket;
}
