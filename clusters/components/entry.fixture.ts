/**
 * `entry.fixture.ts <cache> <input> [wait]`: another meshproof for entry.test.ts, which builds the same small component.
 * With `wait` it says that it builds and goes on at the end of its standard input.
 */
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

import { ensureEntry } from "./entry.ts";

const say = (line: string) => process.stdout.write(`${line}\n`);
const [cache = "", input = "", wait] = process.argv.slice(2);
try {
  await ensureEntry(
    {
      name: "fake",
      version: "1",
      source: "a test",
      effort: "at once",
      inputs: () => Promise.resolve([input]),
      async build({ files }) {
        if (wait) {
          say("building");
          await once(process.stdin.resume(), "end");
        }
        await writeFile(join(files, "hello"), "", { mode: 0o755 });
        return {};
      },
    },
    { cache, progress: () => undefined },
  );
  say("present");
} catch (error) {
  say((error as Error).message);
}
