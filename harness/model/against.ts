/** The answers to a ticket with several versions of Istio (`repro --against`). Plain data. Hostile text: escape before showing. */

import * as z from "zod";
import { by, facts } from "./result.ts";
import { count, texts, type Immutable } from "./schema.ts";
import { reproFile, type Difference } from "./ticket.ts";

const { cause, expected, matrix, reproduced, verdict } = reproFile.shape;

const answer = z.strictObject({
  versions: reproFile.shape.versions,
  ...{ reproduced, verdict, expected, cause },
  open: facts<Difference>("Differences from the ticket that decide, or may (Difference in harness/model/ticket.ts)."),
  rows: z
    .array(
      z.strictObject({
        request: z.string(),
        cells: z.array(z.strictObject({ status: count, by })),
      }),
    )
    .describe("The answers of the matrix, by the columns of the file."),
});
export type VersionAnswer = Immutable<z.infer<typeof answer>>;

const version = z
  .strictObject({
    asked: z.string().describe("As it was named, such as `1.30` or `1.30@1.36`."),
    folder: z.string().describe("The folder beside this file with repro.html and repro.json of this version."),
    answer: answer.optional(),
    problem: z
      .strictObject({ code: z.string(), message: z.string() })
      .describe("What prevented an answer: the mesh did not start, or its API server rejects the YAML.")
      .optional(),
  })
  .meta({ id: "version", description: "One version of the mesh, with its answer or why there is none." });
export type AskedVersion = Immutable<z.infer<typeof version>>;

export const againstFile = z
  .strictObject({
    schemaVersion: z.literal(1),
    id: reproFile.shape.id,
    tool: reproFile.shape.tool,
    startedAt: reproFile.shape.startedAt,
    command: reproFile.shape.command,
    ticket: reproFile.shape.ticket,
    request: z.string(),
    columns: matrix.shape.columns,
    given: matrix.shape.given,
    versions: z.array(version).describe("In the order in which they were named."),
    text: z
      .strictObject({ verdict: z.string(), causes: texts.describe("Of each version, in order.") })
      .describe("The same in words, for people. Written to the file alone.")
      .optional(),
  })
  .meta({
    title: "meshproof repro --against",
    description:
      "The answers to a ticket with several versions of Istio (against.json, `meshproof repro --against … --json`). Text from a mesh or a ticket is hostile: escape it before showing.",
  });
export type Against = Immutable<z.infer<typeof againstFile>>;

/** Whether all versions that answered gave the same answer to the ticket's request: the same status, from the same origin. */
export function agree({ versions }: Pick<Against, "versions">): boolean {
  const answers = versions.flatMap(({ answer: one }) => one ?? []);
  return new Set(answers.map(({ verdict: { status, by: origin } }) => `${status} ${origin}`)).size <= 1;
}

/** The cells of the matrix that versions answer differently. */
export function cellsThatDiffer({ versions, columns }: Pick<Against, "versions" | "columns">): {
  readonly request: string;
  readonly column: string;
  /** By version; undefined for one without an answer. */
  readonly cells: readonly (VersionAnswer["rows"][number]["cells"][number] | undefined)[];
}[] {
  const rows = versions.find(({ answer: one }) => one !== undefined)?.answer?.rows ?? [];
  return rows.flatMap(({ request }, row) =>
    columns.flatMap((column, index) => {
      const cells = versions.map(({ answer: one }) => one?.rows[row]?.cells[index]);
      const kinds = new Set(cells.flatMap((cell) => (cell === undefined ? [] : `${cell.status} ${cell.by}`)));
      return kinds.size > 1 ? [{ request, column, cells }] : [];
    }),
  );
}

/**
 * 3 if a version could not be asked, 2 if one rejects the YAML, 4 if one did not reproduce the ticket, 1 if one gives another answer than
 * the expected one (without an expectation: than another version), else 0.
 */
export function againstExitCode(against: Against): number {
  const { versions } = against;
  const codes = versions.flatMap(({ problem }) => problem?.code ?? []);
  if (codes.some((code) => code !== "ERR_MANIFEST_REJECTED")) return 3;
  if (codes.length > 0) return 2;
  const answers = versions.flatMap(({ answer: one }) => one ?? []);
  if (answers.some((one) => !one.reproduced)) return 4;
  if (answers.some((one) => one.expected?.met === false)) return 1;
  return answers.every((one) => one.expected === undefined) && !agree(against) ? 1 : 0;
}
