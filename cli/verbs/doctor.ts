import { Option } from "commander";
import { checkHost, checkShortages, installMissing } from "../../clusters/components/components.ts";
import type { PinnedContext } from "../../clusters/existing/kubeconfig.ts";
import type { ExistingFlags } from "./run.ts";
import { SCENARIOS, readScenarios } from "../context.ts";
import { table } from "../table.ts";
import { work } from "../work.ts";
import { sentence } from "../../reports/words.ts";
import { print } from "../streams.ts";
import { finish, option, verb } from "../options.ts";

export const command = verb("doctor", ["doctor", "doctor --install", "doctor --cluster existing --context NAME"])
  .addOption(new Option("--cluster <kind>", "what to look at").choices(["embedded", "existing"]).default("embedded"))
  .addOption(option.kubeconfig())
  .addOption(option.context())
  .addOption(option.allowExec())
  .addOption(option.install())
  .action(async (options) => finish(doctor(options)));

interface DoctorOptions extends ExistingFlags {
  readonly cluster: "embedded" | "existing";
  readonly install?: boolean;
}

export async function doctor(options: DoctorOptions): Promise<number> {
  return options.cluster === "existing" ? await lookAtCluster(options) : await lookAtMachine(options);
}

async function lookAtMachine(options: DoctorOptions): Promise<number> {
  return work(async ({ progress, signal, clear }) => {
    if (options.install === true) await installMissing({ progress, signal });
    const findings = [...(await checkHost()), ...(process.platform === "linux" ? await checkShortages() : [])];
    clear();
    const missing = findings.filter(({ ok }) => !ok);
    print(table(findings.map(({ name, ok, found, needed }) => [ok ? "✔" : "✘", name, found, `needed: ${needed}`])));
    for (const { name, fix } of missing) print(`\n${name}:\n  ${fix ?? "no remedy is known"}`);
    print(missing.length === 0 ? "\nthis machine can run the embedded cluster" : `\n${missing.length} missing`);
    if (process.platform !== "linux")
      print("here --cluster kind works where Docker answers, and --cluster existing needs nothing but Node.js");
    return missing.length === 0 ? 0 : 3;
  });
}

/** Meshproof's objects on a cluster: of a running run, of dead runs, and others with its labels. */
async function leftovers({ config, context }: PinnedContext): Promise<string[]> {
  const { findLeftovers, unprovenWords } = await import("../../clusters/existing/clean-up.ts");
  const { identify } = await import("../../clusters/existing/journal.ts");
  const { readHolder } = await import("../../clusters/lease.ts");
  const [{ connectWith }, { messageOf, statusOf }] = await Promise.all([
    import("../../harness/mesh/client.ts"),
    import("../../harness/mesh/api-error.ts"),
  ]);
  const kube = connectWith(config);
  try {
    const holder = await readHolder(kube);
    const { runs, unproven } = await findLeftovers(kube, await identify(kube), holder === undefined ? [] : [holder.id]);
    return [
      ...(holder === undefined ? [] : [`${holder.verb} ${holder.id} on ${holder.hostname} has the Lease`]),
      ...runs.map(
        ({ made }) => `run ${made.run} was killed and left something: meshproof cleanup --context ${context}`,
      ),
      ...unprovenWords(unproven),
    ];
  } catch (error) {
    if (statusOf(error) !== 403) throw error;
    return [`what runs left cannot be seen: ${messageOf(error)}`];
  }
}

/** Prints facts about a cluster, and what a run would do there. Creates nothing. */
async function lookAtCluster({ kubeconfig, context, allowExec, revision }: DoctorOptions): Promise<number> {
  const { limitsOf, look, namespacesOf, refusalOf, revisionOf } = await import("../../clusters/existing/existing.ts");
  const [{ choose }, { readProfile }] = await Promise.all([
    import("../../harness/run/eligible.ts"),
    import("../../harness/run/profile.ts"),
  ]);
  const { pinned, found } = await look({
    ...(kubeconfig === undefined ? {} : { kubeconfig }),
    ...(context === undefined ? {} : { context }),
    allowExec,
  });
  const left = await leftovers(pinned);
  const denied = found.permissions.filter(({ allowed }) => !allowed).map(({ what }) => what);
  const rows = [
    ["context", `${pinned.context} at ${pinned.server}`],
    ...pinned.told.map((told) => ["", told]),
    ["Kubernetes", found.kubernetes],
    ...found.revisions.map(({ name, namespace, version, jwksFetch, injects }) => [
      `Istio ${version}`,
      `revision ${name} in ${namespace}, a jwksUri is fetched by: ${jwksFetch}, ${injects ? "injects sidecars" : "injects nothing"}`,
    ]),
    ["Gateway API", found.gatewayApi ?? "none that istiod has accepted and this user may use"],
    ["waypoints", found.waypoints ? "istiod makes them" : "none: istiod has accepted no GatewayClass istio-waypoint"],
    ...found.gateways.map(({ namespace, name }) => ["gateway", `${namespace}/${name}`]),
    [
      "permissions",
      denied.length === 0 ? `all ${found.permissions.length} that a run needs` : `lacking: ${denied.join(", ")}`,
    ],
    [
      "others",
      found.others.length === 0
        ? "no other namespace gets sidecars"
        : `people work here: ${found.others.join(", ")} get${found.others.length === 1 ? "s" : ""} sidecars`,
    ],
    ...left.map((line) => ["meshproof", line]),
  ];
  print(table(rows.map(([name = "", value = ""]) => [name, value])));
  const refusal = refusalOf(found, revision);
  if (refusal) {
    print(`\na run would be refused: ${refusal.message}\n  ${refusal.hint}`);
    return 2;
  }
  const chosenRevision = revisionOf(found, revision);
  if (!chosenRevision) return 2;
  const { namespace, outsideNamespace } = namespacesOf("<run>");
  const scenarios = await readScenarios(SCENARIOS, [], []);
  const { chosen, skipped } = await choose(
    scenarios,
    SCENARIOS,
    readProfile("istio"),
    limitsOf(found, chosenRevision, false),
    { istio: chosenRevision.version, gatewayApi: found.gatewayApi, waypoints: found.waypoints },
  );
  const reasons = Map.groupBy(skipped, ({ finding }) => sentence(finding));
  print(`
a run would create, and remove:
  in default the Lease run.meshproof.dev and the ConfigMap meshproof-journal-<run>
  the namespaces ${namespace} and ${outsideNamespace}
  in these the workloads ${[...new Set(chosen.flatMap(({ workloads }) => workloads))].sort().join(", ")}, and the policies of each scenario

${chosen.length} of ${scenarios.length} scenarios would run${reasons.size === 0 ? "" : "; the others not:"}
${[...reasons].map(([reason, those]) => `  ${those.length}  ${reason}`).join("\n")}`);
  return 0;
}
