import type { WebSocket } from "ws";
import { CHANNEL, exitStatus, frame, readMessage } from "./channels.ts";
import type { ContainerWorker } from "./container-worker.ts";
import { renderLine } from "./log-lines.ts";
import type { RunningContainer } from "./runtime.ts";

/** Joins a client to a container's first process: its output from now on, and its input where the spec asks for `stdin`. */
export function attachToContainer(
  socket: WebSocket,
  worker: ContainerWorker,
  running: RunningContainer,
  streams: { readonly stdin: boolean; readonly stdout: boolean; readonly stderr: boolean },
): void {
  const stop = worker.logs.get(false)?.follow(
    (line) => {
      if (streams[line.stream] && socket.readyState === socket.OPEN)
        socket.send(frame(CHANNEL[line.stream], renderLine(line, { timestamps: false })));
    },
    () => undefined,
  );
  socket.on("message", (message: Buffer) => {
    const read = readMessage(message);
    if (!streams.stdin) return;
    if (read.kind === "stdin") running.stdin?.write(read.data);
    if (read.kind === "stdin-end" && worker.spec.stdinOnce) running.stdin?.end();
  });
  socket.on("close", () => stop?.());
  void running.exited.then(({ code }) => {
    if (socket.readyState !== socket.OPEN) return;
    socket.send(frame(CHANNEL.status, JSON.stringify(exitStatus(code))));
    socket.close(1000);
  });
}
