/**
 * The only module that writes to the standard streams (lint checks it). All output passes `printable`, because it may contain
 * text of a cluster, a file or a mesh.
 *
 * The streams may break while a command works: a terminal is closed, a pipe's reader ends, a log's disk is full. The work still
 * ends cleanly; only missing output on standard output fails the command, and only at its end.
 */

import type { Output, OUTPUTS } from "../harness/model/outputs.ts";
import { printable } from "../harness/safe/visible.ts";
import { redact } from "../harness/safe/redact.ts";
import { escapeJson } from "../reports/json.ts";

/** The parts of an output stream that are used here. */
export interface Stream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Tests replace the process's streams. */
let streams: { readonly stdout: Stream; readonly stderr: Stream } = process;

let unprinted: NodeJS.ErrnoException | undefined;

/** Call this once, before any output. */
export function guardStreams(): void {
  // Lost progress messages do not matter.
  process.stderr.on("error", () => undefined);
  // `meshproof list | head` is not an error.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") unprinted ??= error;
  });
}

/** Ends the process explicitly, because a library's open handle could keep it running. */
export async function leave(code: number): Promise<never> {
  // A reader of a pipe may be slower than this process, whose end would cut what is still to be written.
  for (const stream of [process.stdout, process.stderr]) await new Promise((resolve) => stream.write("", resolve));
  // A stream reports an error one turn later.
  await new Promise((resolve) => setImmediate(resolve));
  if (unprinted !== undefined && code === 0) {
    warn(`error: the output could not be written: ${unprinted.message}`);
    process.exit(3);
  }
  process.exit(code);
}

/** Captures the output of a function, and returns it with its result. */
export async function capture<T>(act: () => Promise<T>): Promise<{ stdout: string; stderr: string; returned: T }> {
  const before = streams;
  const text = { stdout: "", stderr: "" };
  streams = {
    stdout: { write: (more) => (text.stdout += more) },
    stderr: { write: (more) => (text.stderr += more) },
  };
  try {
    const returned = await act();
    return { ...text, returned };
  } finally {
    streams = before;
  }
}

/** Whether a person reads standard output. */
export function isTerminal(): boolean {
  return streams.stdout.isTTY === true;
}

/** Prints lines for people on standard output, and adds a line feed. */
export function print(text: string): void {
  streams.stdout.write(`${printable(redact(text), { ci: inCi() })}\n`);
}

/** Like {@link print}, for output of reports/: its text is safe already, and its colours are meshproof's own. */
export function printPainted(text: string): void {
  streams.stdout.write(`${printable(text, { ci: inCi(), colours: true })}\n`);
}

/** Prints lines for people on standard error, and adds a line feed. */
export function warn(text: string): void {
  streams.stderr.write(`${printable(redact(text), { ci: inCi() })}\n`);
}

/** Prints JSON for a program. Control characters in strings are escapes, so that it is safe on a terminal. */
export function printJson(value: unknown): void {
  printJsonText(`${JSON.stringify(value, undefined, 2)}\n`);
}

/** Prints what a verb prints with --json, which has a published schema: docs/json.md. */
export function printOutput<Verb extends keyof typeof OUTPUTS>(_verb: Verb, output: Output<Verb>): void {
  printJson(output);
}

/** Like {@link printJson}, for JSON text with its line feed. */
export function printJsonText(json: string): void {
  streams.stdout.write(escapeJson(json));
}

/** Prints YAML for a program, byte for byte; on a terminal or in CI it is made safe. */
export function printYaml(yaml: string): void {
  streams.stdout.write(`${isTerminal() || inCi() ? printable(yaml, { ci: inCi() }) : yaml}\n`);
}

/** Prints meshproof's own workflow command for GitHub Actions, whose values are escaped. */
export function printCommand(command: string): void {
  streams.stdout.write(`${command}\n`);
}

/** The stream for the status line. */
export function statusStream(): Stream {
  return streams.stderr;
}

/** Whether a CI system reads the output and executes workflow commands in it. */
function inCi(): boolean {
  return process.env["GITHUB_ACTIONS"] === "true" || process.env["TF_BUILD"] !== undefined;
}
