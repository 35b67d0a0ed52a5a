import { spawn } from "node:child_process";
import type { WebSocket } from "ws";
import { CHANNEL, errorStatus, exitStatus, frame, readMessage } from "./channels.ts";
import type { RunningContainer } from "./runtime.ts";
import { firstChildOf, inTerminal, resizeTerminal } from "./terminal.ts";
import { TOOL_PATH } from "./tools.ts";

export interface ExecOptions {
  readonly command: readonly string[];
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

/** Above this many bytes waiting for the client, the command's output is not read on. */
const HIGH_WATER = 1 << 20;

/** Runs a command in a container, its streams as channels of a WebSocket; ends with the exit code as a v1.Status. */
export function execInContainer(socket: WebSocket, container: RunningContainer, options: ExecOptions): void {
  const command = options.tty ? inTerminal(options.command) : options.command;
  const [file, ...args] = container.enter(command);
  const child = spawn(file, args, {
    env: { PATH: TOOL_PATH },
    cwd: "/",
    detached: true,
    stdio: [options.stdin ? "pipe" : "ignore", "pipe", "pipe"],
  });
  const finish = (status: object): void => {
    if (socket.readyState !== socket.OPEN) return;
    socket.send(frame(CHANNEL.status, JSON.stringify(status)));
    socket.close(1000);
  };
  for (const [stream, channel, wanted] of [
    [child.stdout!, CHANNEL.stdout, options.stdout],
    [child.stderr!, CHANNEL.stderr, options.stderr],
  ] as const)
    stream.on("data", (data: Buffer) => {
      if (!wanted || socket.readyState !== socket.OPEN) return;
      socket.send(frame(channel, data), () => stream.resume());
      if (socket.bufferedAmount > HIGH_WATER) stream.pause();
    });
  child.stdin?.on("error", () => undefined);
  socket.on("message", (message: Buffer) => {
    const read = readMessage(message);
    if (read.kind === "stdin" && child.stdin?.write(read.data) === false) {
      // The command reads more slowly than the client writes.
      socket.pause();
      child.stdin.once("drain", () => socket.resume());
    }
    if (read.kind === "stdin-end") child.stdin?.end();
    // nsenter's child turns into script(1).
    if (read.kind === "resize" && options.tty)
      void resizeTerminal(container, () => (child.pid === undefined ? undefined : firstChildOf(child.pid)), read);
  });
  // The client left: setpriv's parent-death signal ends the command with nsenter.
  socket.on("close", () => child.kill("SIGKILL"));
  child.on("error", (error) => finish(errorStatus(error.message)));
  child.on("close", (code) => finish(exitStatus(code ?? 137)));
}
