/** A folder of tickets with known answers: each is a folder with `command.sh`, YAML and the right answer. */

import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { parse } from "shell-quote";
import * as z from "zod";
import { parse as parseYaml } from "yaml";
import { MeshproofError } from "../model/errors.ts";
import type { ReproAnswer } from "../model/ticket.ts";
import { agrees } from "./outcome.ts";

/** The right answer of a ticket. `closed`: no HTTP answer; `refused`: meshproof reports that it cannot reproduce the ticket. `rejected`: the API server rejects its YAML. */
export interface RightAnswer {
  readonly outcome: number | "closed" | "refused" | "rejected" | "denied" | undefined;
  readonly by?: "authentication" | "authorization" | undefined;
  /** The kind of the cause. */
  readonly cause?: string | undefined;
  /** Texts that the answer must contain, such as the field that decides. */
  readonly says?: readonly string[] | undefined;
}

export interface CheckedTicket {
  readonly name: string;
  /** The arguments of `meshproof repro`. */
  readonly args: readonly string[];
  readonly right: RightAnswer;
}

/** File with the right answer, beside the ticket's YAML. */
export const ANSWER_FILE = "answer.yaml";

const answerFile = z.strictObject({
  answer: z.union([z.int().min(100).max(599), z.enum(["closed", "refused", "rejected"])]),
  by: z.enum(["authentication", "authorization"]).optional(),
  cause: z.string().optional(),
  says: z.array(z.string()).optional(),
});

/** The result of `repro` for a ticket. `refused`: it was not reproduced. */
export type Verdict = "right" | "wrong" | "refused" | "error" | "unread";

/** @throws MeshproofError ERR_USAGE if the folder has no ticket */
export async function readCheckedTickets(folder: string): Promise<CheckedTicket[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((cause: unknown) => {
    throw new MeshproofError("ERR_USAGE", `${folder} cannot be read`, { cause });
  });
  const tickets: CheckedTicket[] = [];
  for (const name of entries.flatMap((entry) => (entry.isDirectory() ? [entry.name] : [])).sort()) {
    const dir = path.join(folder, name);
    const command = await readFile(path.join(dir, "command.sh"), "utf8").catch(() => undefined);
    if (command === undefined) continue;
    const written = await readFile(path.join(dir, ANSWER_FILE), "utf8").catch(() => undefined);
    const prose = await readFile(path.join(dir, "ticket.md"), "utf8").catch(() => "");
    const right = written === undefined ? readRightAnswer(prose) : readAnswerFile(written, path.join(dir, ANSWER_FILE));
    tickets.push({ name, args: argumentsOf(command, dir), right });
  }
  if (tickets.length === 0)
    throw new MeshproofError("ERR_USAGE", `${folder} has no ticket: a ticket is a folder with command.sh and YAML`, {
      hint: "docs/examples/tickets shows the format",
    });
  return tickets;
}

function readAnswerFile(text: string, file: string): RightAnswer {
  const { data, error } = answerFile.safeParse(parseYaml(text));
  if (data === undefined)
    throw new MeshproofError("ERR_USAGE", `${file} is not a right answer: ${error.issues[0]?.message ?? ""}`, {
      hint: "it has `answer` (a status, closed, refused or rejected), and may have `by`, `cause` and `says`",
    });
  const { answer, ...more } = data;
  return { outcome: answer, ...more };
}

/** Reads the paragraph of ticket.md after `**Right answer**:`. Its first sentence starts with a status, or with what happens instead. */
export function readRightAnswer(markdown: string): RightAnswer {
  const [, text = ""] = /\*\*Right answer\*\*:\s*([^]*?)(?:\n\n|$)/.exec(markdown) ?? [];
  const first = text.split(/(?<=[a-z`)]{2})[.:;]\s/)[0] ?? "";
  const by = /\bby (authentication|authorization)\b/.exec(first)?.[1] as RightAnswer["by"];
  const status = /^[`*]*([1-5]\d\d)\b/.exec(text)?.[1];
  if (status !== undefined) return { outcome: Number(status), by };
  if (/\b(connection is (closed|reset|refused)|no HTTP (status|answer))\b/.test(first)) return { outcome: "closed" };
  if (/\b(denied|refused)\b/.test(first) && by !== undefined) return { outcome: "denied", by };
  return { outcome: undefined };
}

/** The arguments of `repro` in command.sh, with the ticket's folder instead of `$(dirname "$0")` or of the folder named there. */
function argumentsOf(command: string, dir: string): string[] {
  const line = command
    .replaceAll(/\\\r?\n/g, " ")
    .replaceAll('"$(dirname "$0")"', "TICKET_FOLDER")
    .trim();
  const words = parse(line, (name) => `$${name}`).flatMap((word) =>
    typeof word === "string" ? [word] : "pattern" in word ? [word.pattern] : [],
  );
  const rest = words.slice(words.indexOf("repro") + 1).filter((word) => word !== "");
  return rest.map((word) => (word === "TICKET_FOLDER" || path.resolve(word) === path.resolve(dir) ? dir : word));
}

type Answered = Pick<ReproAnswer, "verdict" | "cause"> & { readonly reproduced?: boolean };

/**
 * @param text the printed answer
 * @param error the code of the error that ended the ticket without an answer
 */
export function judgeAnswer(right: RightAnswer, answer: Answered | undefined, text: string, error?: string): Verdict {
  if (answer === undefined)
    return right.outcome === "rejected" && error === "ERR_MANIFEST_REJECTED" ? "right" : "error";
  const told = (right.says ?? []).every((one) => text.includes(one));
  if (answer.reproduced === false) return right.outcome === "refused" ? (told ? "right" : "wrong") : "refused";
  if (right.outcome === undefined) return "unread";
  const { status, by } = answer.verdict;
  const agreed =
    right.outcome === "refused" || right.outcome === "rejected"
      ? false
      : right.outcome === "denied"
        ? by === right.by
        : right.outcome === "closed" || right.by === undefined
          ? agrees({ status, by }, right.outcome)
          : status === right.outcome && by === right.by;
  const caused = right.cause === undefined || answer.cause.kind === right.cause;
  return agreed && caused && told ? "right" : "wrong";
}

/** `403 by authorization` */
export function nameRight({ outcome, by }: RightAnswer): string {
  if (outcome === undefined) return "?";
  return by === undefined ? String(outcome) : `${outcome} by ${by}`;
}
