import { connect, type Server, type Socket } from "node:net";
import { pipeline } from "node:stream";

/**
 * Forwards each connection of a listening socket to a local port. The socket was opened outside and passed to this process:
 * it stays in the host's network namespace, while the port is in this process's namespace.
 */
export function relay(server: Server, port: number): void {
  server.on("connection", (outside: Socket) => {
    const inside = connect(port, "127.0.0.1");
    const done = (): void => undefined; // either side may end at any time; pipeline has closed both then
    outside.setNoDelay(true);
    inside.setNoDelay(true);
    pipeline(outside, inside, done);
    pipeline(inside, outside, done);
  });
}
