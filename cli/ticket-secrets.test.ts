/** What a ticket's reading, translation and reports write contains no part of its credentials. */

import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { readAnswer, type Asked } from "../harness/repro/answer.ts";
import { exportTicket, readTicket, translated } from "../harness/repro/index.ts";
import { stringifyObjects } from "../harness/repro/read-objects.ts";
import { formatAnswer, prepareRepro, writeRepro } from "../reports/repro.ts";
import { SCENARIOS } from "./context.ts";
import { curlOf, made, OBJECTS, piecesOf, POLICIES, REQUESTS } from "./ticket-secrets.fixture.ts";
import { againBy } from "./ticket.ts";

describe("no part of a credential is written", () => {
  let folder = "";
  before(async () => void (folder = await mkdtemp(path.join(tmpdir(), "meshproof-secrets-"))));
  after(() => rm(folder, { recursive: true }));

  it("of forty tickets", () => assert.ok(REQUESTS.length + OBJECTS.length >= 40));

  for (const { what, curl, token, yaml } of [...REQUESTS, ...OBJECTS])
    it(what, async () => {
      const secret = made(what);
      const file = path.join(folder, `${made(what, "hex").slice(0, 6)}.yaml`);
      await writeFile(file, POLICIES(yaml?.(secret)));
      const line = curlOf({ what, ...(curl && { curl }) }, secret);
      const given = token?.(secret);
      const options = {
        ...{ header: [], jwks: [], results: "results" },
        ...(given === undefined ? { curl: line } : { token: given, request: "GET /" }),
      };
      const ticket = await readTicket([file], options, SCENARIOS, () => Promise.resolve(""));
      const translation = translated([file], ticket);
      const said = `${translation.rows[0]}, as Authorization: none`;
      const observe = (cell?: { row: number; column: number }): unknown => ({
        ...{ curl: `curl ${translation.rows[0]}`, settled: true, request: { tokens: [] } },
        ...(cell && { cell: { matrix: 0, ...cell } }),
        got: { status: 200, by: "workload", body: said, headers: {}, totalMs: 1 },
      });
      const observations = [
        ...translation.rows.flatMap((_, row) => translation.columns.map((_, column) => observe({ row, column }))),
        ...translation.topology.others.map(() => observe()),
      ];
      const objects = [...translation.files].flatMap(([name, text]) =>
        name.startsWith(`${translation.id}/`)
          ? [
              {
                verb: "apply",
                kind: "AuthorizationPolicy",
                namespace: "shop",
                name,
                file: name,
                yaml: text,
                findings: [],
                proxies: [],
              },
            ]
          : [],
      );
      const asked = {
        ...{ id: "id", tool: { name: "meshproof", version: "0" }, startedAt: "2026-01-01T00:00:00Z" },
        ...{ command: againBy([file], options, ticket), versions: {}, observations, objects },
      };
      const answer = prepareRepro({
        ...readAnswer(asked as unknown as Asked, translation, ticket, {}),
        minimized: {
          ...{ confirmed: false, complete: false, tries: 1, refused: 0, dropped: [] },
          yaml: stringifyObjects(ticket.objects),
        },
      });
      const out = path.join(folder, `${path.basename(file)}-out`);
      await exportTicket(out, translation, answer, SCENARIOS);
      await writeRepro(answer, out);
      await writeFile(path.join(out, "answer.txt"), formatAnswer(answer));
      const files = (await readdir(out, { recursive: true, withFileTypes: true })).filter((one) => one.isFile());
      assert.ok(files.length > 5);
      const pieces = piecesOf(secret);
      for (const { parentPath, name } of files) {
        const text = await readFile(path.join(parentPath, name), "latin1");
        const found = pieces.find((piece) => text.includes(piece));
        const at = found === undefined ? 0 : text.indexOf(found);
        assert.equal(found, undefined, `${name}: ${text.slice(Math.max(0, at - 60), at)}`);
      }
    });
});
