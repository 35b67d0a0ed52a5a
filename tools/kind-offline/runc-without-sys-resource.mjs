/**
 * An OCI runtime: runc, without CAP_SYS_RESOURCE and without lowered OOM scores, for a machine that has neither to give.
 * Called with runc's path and runc's arguments, as `create --bundle <dir>` or `exec --process <file>`.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { spawnSync } from "node:child_process";

const [runc, ...args] = process.argv.slice(2);

/** The value of `--name value`, `--name=value` or `-n value`. */
function option(...names) {
  const at = args.findIndex((arg) => names.includes(arg));
  if (at >= 0) return args[at + 1];
  const joined = args.find((arg) => names.some((name) => arg.startsWith(`${name}=`)));
  return joined?.slice(joined.indexOf("=") + 1);
}

function rewrite(file, processOf) {
  const config = JSON.parse(readFileSync(file, "utf8"));
  const started = processOf(config);
  const sets = started.capabilities ?? {};
  for (const [name, capabilities] of Object.entries(sets))
    sets[name] = (capabilities ?? []).filter((capability) => capability !== "CAP_SYS_RESOURCE");
  if (started.oomScoreAdj < 0) started.oomScoreAdj = 0;
  writeFileSync(file, JSON.stringify(config));
}

const bundle = option("--bundle", "-b");
const process_ = option("--process", "-p");
if (args.includes("create") && bundle) rewrite(join(bundle, "config.json"), (config) => config.process);
else if (args.includes("exec") && process_) rewrite(process_, (started) => started);

const { status } = spawnSync(runc, args, { stdio: "inherit" });
process.exit(status ?? 1);
