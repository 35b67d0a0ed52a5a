import { connect, type Server, type Socket } from "node:net";
import { pipeline } from "node:stream";

/**
 * Passes each connection of a listening socket on to a local port. The socket was opened outside and handed over: it
 * stays in the host's network namespace, while what it is connected to lives in this process's own.
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
