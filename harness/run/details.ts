import type { CheckResult } from "../model/result.ts";
import { needsAccessLog, reviewDetails } from "../verdict/index.ts";
import type { AccessLog } from "./access-log.ts";
import type { Target } from "./places.ts";

/** Envoy writes its access log each second under pilot-agent (`--file-flush-interval-msec 1000`) and by itself each 10 s. */
const DEMANDED_LIMIT_MS = 12_000;

/**
 * Judges by the access logs what a step's checks demand of them, as soon as the lines are there: mostly within a second, and
 * at once for a step without such a demand. A demand that cannot be judged is an error of its check alone.
 */
export async function judgeDemands<Check extends { readonly result: CheckResult; readonly target: Target }>(
  log: AccessLog,
  checks: readonly Check[],
): Promise<Check[]> {
  // A line of the gateway's says nothing of the waypoint behind it.
  for (const { result, target } of checks)
    log.expect(result.got.userAgent ?? "", target.through?.proxies ?? target.proxies);
  const demanding = checks.filter(
    ({ result, target }) =>
      result.status === "passed" && (target.through !== undefined || needsAccessLog(result.expected)),
  );
  await log.wait(
    demanding.map(({ result }) => result.got.userAgent ?? ""),
    DEMANDED_LIMIT_MS,
  );
  return checks.map((check) =>
    demanding.includes(check)
      ? { ...check, result: reviewDetails(check.result, log.find(check.result.got.userAgent ?? "")) }
      : check,
  );
}
