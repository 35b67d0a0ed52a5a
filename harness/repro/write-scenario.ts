/** Writes a translated ticket as a folder `scenarios`, to reproduce it or to keep it as a regression test. */

import { cp, mkdir, readdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { MeshproofError } from "../model/errors.ts";
import type { ReproAnswer } from "../model/ticket.ts";
import { expectations } from "./answer.ts";
import type { Translation } from "./ticket.ts";

/** Workloads that a translated scenario needs besides its own files. */
const WORKLOADS = ["neighbour", "nginx-proxy", "outside", "outside-host", "sleep"];

/**
 * Writes a folder `scenarios`.
 * @param brought meshproof's own folder
 * @param scenario the text of scenario.yaml; undefined for none
 */
export async function writeScenarios(
  root: string,
  id: string,
  files: Translation["files"],
  brought: string,
  scenario: string | undefined,
): Promise<void> {
  await cp(path.join(brought, "issuers"), path.join(root, "issuers"), {
    recursive: true,
    filter: (file) => !/\/(corp|corp-next|partner)\.yaml$/.test(file),
  });
  for (const app of WORKLOADS)
    await cp(path.join(brought, "workloads", app), path.join(root, "workloads", app), { recursive: true });
  const texts = [...files, ...(scenario === undefined ? [] : [[`${id}/scenario.yaml`, scenario] as const])];
  for (const [file, text] of texts) {
    await mkdir(path.dirname(path.join(root, file)), { recursive: true });
    await writeFile(path.join(root, file), text);
  }
}

/** @throws MeshproofError ERR_USAGE if the folder is not empty */
export async function refuseExisting(folder: string): Promise<void> {
  const there = await readdir(folder).catch(() => []);
  if (there.length > 0)
    throw new MeshproofError("ERR_USAGE", `${folder} is not empty, and nothing is overwritten`, {
      hint: "meshproof repro --help shows examples",
    });
}

/**
 * Writes the scenario as a regression test, and each request as a command.
 * @param brought meshproof's own scenarios
 * @returns lines that list the written files
 */
export async function exportTicket(
  folder: string,
  translation: Translation,
  answer: ReproAnswer,
  brought: string,
): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  const kept = expectations(answer);
  const { exported, id } = translation;
  const why = !answer.reproduced
    ? "the ticket was not reproduced"
    : "why" in exported
      ? exported.why
      : "why" in kept
        ? kept.why
        : undefined;
  const scenario = why === undefined && "expect" in kept ? translation.scenario(kept.expect, true) : undefined;
  const files = "files" in exported ? exported.files : translation.files;
  await writeScenarios(path.join(folder, "scenarios"), id, files, brought, scenario);
  const versions = Object.entries(answer.versions).map(([name, version]) => `${name} ${version}`);
  await writeFile(
    path.join(folder, "requests.sh"),
    [
      `# Each request of the matrix; needs the stand-in and the policies in place, and a token of the scenario's in TOKEN.`,
      `# ${versions.join(", ")}`,
      ...answer.matrix.rows.flatMap(({ request, cells }) =>
        cells.flatMap(({ curl }, column) => ["", `# ${request} ${answer.matrix.columns[column]}`, curl]),
      ),
      "",
    ].join("\n"),
  );
  const shown = path.relative("", folder) || ".";
  if (why !== undefined) return [`wrote ${shown}, without a scenario.yaml: ${why}`];
  return [
    `wrote ${shown}`,
    `  meshproof run ${translation.id} --scenarios ${shown}/scenarios    # passes while the mesh answers like this`,
  ];
}
