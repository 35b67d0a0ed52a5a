import { mkdir, readFile, readdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { MeshproofError } from "../../harness/model/errors.ts";
import { PROJECT, SCENARIOS } from "../context.ts";
import { print, printOutput } from "../streams.ts";
import { finish, option, verb } from "../options.ts";

export const command = verb("new", ["new jwt/audience-must-match", "new team/orders --scenarios my-scenarios"])
  .argument("<id>", "<group>/<name>")
  .addOption(option.scenarios())
  .addOption(option.json())
  .action(async (id: string, options) => finish(newScenario(id, options)));

/** Its scenario has another file name, so that the folder above is not one of scenarios. */
const STARTER = path.join(import.meta.dirname, "../starter");

/** Folders beside the groups of scenarios. */
const SHARED = ["issuers", "workloads"];

interface NewOptions {
  readonly scenarios: string;
  readonly json?: boolean;
}

async function newScenario(id: string, { scenarios, json }: NewOptions): Promise<number> {
  const files = await create(id, scenarios);
  if (json === true) printOutput("new", { files });
  else print([...files.map((file) => `wrote ${file}`), nextSteps(id, scenarios)].join("\n"));
  return 0;
}

/**
 * Writes a working scenario as a starting point.
 * @param id `<group>/<name>`
 * @returns the files, relative to the working directory
 * @throws ERR_USAGE if the id is invalid or the folder exists: nothing is overwritten
 */
export async function create(id: string, scenarios: string): Promise<string[]> {
  const word = "[a-z0-9]([a-z0-9-]*[a-z0-9])?";
  const [group = "", name = ""] = new RegExp(`^${word}/${word}$`).test(id) ? id.split("/") : [];
  if (name === "" || SHARED.includes(group))
    throw new MeshproofError(
      "ERR_USAGE",
      `a scenario is named <group>/<name> in small letters, digits and hyphens, not "${id}"`,
      {
        hint: "for example: meshproof new jwt/audience-must-match",
      },
    );
  const root = path.resolve(scenarios);
  const folder = path.join(root, group, name);
  await mkdir(path.dirname(folder), { recursive: true });
  await mkdir(folder).catch((cause: unknown) => {
    throw new MeshproofError("ERR_USAGE", `${path.relative("", folder)} exists already, and nothing is overwritten`, {
      cause,
      hint: "choose another name: it is an id forever",
    });
  });
  const schema = path.relative(folder, path.join(PROJECT, "schema/scenario.schema.json"));
  const files: string[] = [];
  for (const file of await readdir(STARTER)) {
    const text = await readFile(path.join(STARTER, file), "utf8");
    const mine = text.replace(/^( +name:) starter$/m, `$1 ${name}`).replace(/\$schema=\S+/, () => `$schema=${schema}`);
    const written = path.join(folder, file.replace("-starter", ""));
    await writeFile(written, mine, { flag: "wx" });
    files.push(path.relative("", written));
  }
  return files;
}

function nextSteps(id: string, scenarios: string): string {
  const root = path.resolve(scenarios);
  const where = root === SCENARIOS ? "" : ` --scenarios ${path.relative("", root)}`;
  return `
It is complete and passes. Write into its title and source what it tests, change policies and matrix, and:
  meshproof lint${where}
  meshproof run ${id}${where}
docs/writing-a-scenario.md explains every key.`;
}
