/** What a person asked Playwright for. */

import { createHash } from "node:crypto";
import type { FullConfig } from "@playwright/test/reporter";
import type { Shard } from "../model/result.ts";
import { shellWords } from "../shell-words.ts";
import { CLUSTER_VARIABLE } from "./settings.ts";

/** Flags that shards of one selection may have with different values. All of them have one. */
const NOT_SELECTING = new Set(["--shard", "--output", "--reporter", "--workers", "-j"]);

/** The command again, as a person types it into a shell. */
export function commandOf(args: readonly string[], env: Readonly<Record<string, string | undefined>>): string {
  const cluster = env[CLUSTER_VARIABLE];
  const setting = cluster ? [`${CLUSTER_VARIABLE}=${shellWords([cluster])}`] : [];
  return [...setting, "npx playwright", shellWords(args)].join(" ").trim();
}

/**
 * The part of a selection that Playwright runs; undefined where it runs all of it. Playwright does not tell what the others have, so
 * that the selection is named by the arguments that make it.
 */
export function shardOf({ shard }: Pick<FullConfig, "shard">, args: readonly string[]): Shard | undefined {
  if (shard === null) return undefined;
  const selecting = args.filter(
    (arg, index) => !NOT_SELECTING.has(arg.split("=")[0] ?? "") && !NOT_SELECTING.has(args[index - 1] ?? ""),
  );
  const selection = createHash("sha256").update(JSON.stringify(selecting)).digest("hex").slice(0, 16);
  return { index: shard.current, count: shard.total, selection, of: "arguments" };
}
