/**
 * The standard streams: the only module that writes to them (lint checks it). Whatever is written may hold text of a cluster, of a
 * file or of a mesh, so all of it passes `printable`.
 *
 * They may go away while a command works: a terminal is closed, a pipe's reader ends, a log's disk is full. Whatever happens to them,
 * the work ends in order; only what a command was asked to print may fail it, and only at its end.
 */

import { printable } from "../harness/safe/visible.ts";
import { redact } from "../harness/safe/redact.ts";
import { escapeJson } from "../reports/json.ts";

/** What is written to, as much of it as is used here. */
export interface Stream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** A test has others than the process's. */
let streams: { readonly stdout: Stream; readonly stderr: Stream } = process;

let unprinted: NodeJS.ErrnoException | undefined;

/** To be called once, before anything is written. */
export function guardStreams(): void {
  // Progress that nobody sees harms nobody.
  process.stderr.on("error", () => undefined);
  // `meshproof list | head` is no error.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") unprinted ??= error;
  });
}

/** Ends the process. Leaving is explicit: what a library keeps open must not keep the command from ending. */
export async function leave(code: number): Promise<never> {
  // A stream tells of an error a turn later.
  await new Promise((resolve) => setImmediate(resolve));
  if (unprinted !== undefined && code === 0) {
    warn(`error: the output could not be written: ${unprinted.message}`);
    process.exit(3);
  }
  process.exit(code);
}

/** What an act writes, as text instead, and what it returns. */
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

/** Lines for a person, on standard output. A line feed is added. */
export function print(text: string): void {
  streams.stdout.write(`${printable(redact(text), { ci: inCi() })}\n`);
}

/** The same of what reports/ drew: its text is visible already, and its colours are ours. */
export function printPainted(text: string): void {
  streams.stdout.write(`${printable(text, { ci: inCi(), colours: true })}\n`);
}

/** Lines for a person, on standard error. A line feed is added. */
export function warn(text: string): void {
  streams.stderr.write(`${printable(redact(text), { ci: inCi() })}\n`);
}

/** JSON for a program. Within its strings everything that acts is an escape, so that a person may look at it. */
export function printJson(value: unknown): void {
  printJsonText(`${JSON.stringify(value, undefined, 2)}\n`);
}

/** The same of JSON that is text already, with its line feed. */
export function printJsonText(json: string): void {
  streams.stdout.write(escapeJson(json));
}

/** YAML for a program, byte for byte; made safe where a person or a CI system reads it. */
export function printYaml(yaml: string): void {
  streams.stdout.write(`${isTerminal() || inCi() ? printable(yaml, { ci: inCi() }) : yaml}\n`);
}

/** A workflow command of ours for GitHub Actions, with its values escaped. */
export function printCommand(command: string): void {
  streams.stdout.write(`${command}\n`);
}

/** Where the status line is drawn. */
export function statusStream(): Stream {
  return streams.stderr;
}

/** Whether a CI system reads the output and obeys some of its lines. */
function inCi(): boolean {
  return process.env["GITHUB_ACTIONS"] === "true" || process.env["TF_BUILD"] !== undefined;
}
