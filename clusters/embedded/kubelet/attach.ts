import type { WebSocket } from "ws";
import { CHANNEL, exitStatus, frame, readMessage } from "./channels.ts";
import type { ContainerWorker } from "./container-worker.ts";
import type { RunningContainer } from "./runtime.ts";
import { resizeTerminal } from "./terminal.ts";

/** Attaches a client to a container's first process: its output from now on, and its input if the spec has `stdin`. */
export function attachToContainer(
  socket: WebSocket,
  worker: ContainerWorker,
  running: RunningContainer,
  streams: { readonly stdin: boolean; readonly stdout: boolean; readonly stderr: boolean },
): void {
  const stop = worker.logs.get(false)?.tap((stream, chunk) => {
    if (streams[stream] && socket.readyState === socket.OPEN) socket.send(frame(CHANNEL[stream], chunk));
  });
  socket.on("message", (message: Buffer) => {
    const read = readMessage(message);
    if (read.kind === "resize" && worker.spec.tty) void resizeTerminal(running, () => running.pid, read);
    if (!streams.stdin) return;
    if (read.kind === "stdin") running.stdin?.write(read.data);
    if (read.kind === "stdin-end" && worker.spec.stdinOnce) running.stdin?.end();
  });
  socket.on("close", () => stop?.());
  void running.exited.then(() => {
    if (socket.readyState !== socket.OPEN) return;
    // Attaching succeeds with any exit code of the process; the pod's status has that code.
    socket.send(frame(CHANNEL.status, JSON.stringify(exitStatus(0))));
    socket.close(1000);
  });
}
