import { Option } from "commander";
import { checkHost, checkShortages, installMissing } from "../../clusters/components/components.ts";
import type { PinnedContext } from "../../clusters/existing/kubeconfig.ts";
import type { Survey } from "../../clusters/existing/survey.ts";
import type { ExistingFlags } from "./run.ts";
import { SCENARIOS, readScenarios } from "../context.ts";
import { table } from "../table.ts";
import { work } from "../work.ts";
import { sentence } from "../../reports/words.ts";
import { print, printOutput } from "../streams.ts";
import { finish, option, verb } from "../options.ts";

export const command = verb("doctor", ["doctor", "doctor --install", "doctor --cluster existing --context NAME"])
  .addOption(new Option("--cluster <kind>", "what to look at").choices(["embedded", "existing"]).default("embedded"))
  .addOption(option.kubeconfig())
  .addOption(option.context())
  .addOption(option.allowExec())
  .addOption(option.install())
  .addOption(option.json())
  .action(async (options) => finish(doctor(options)));

interface DoctorOptions extends ExistingFlags {
  readonly cluster: "embedded" | "existing";
  readonly install?: boolean;
  readonly json?: boolean;
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
    if (options.json === true) {
      printOutput("doctor", { machine: { ok: missing.length === 0, findings } });
      return missing.length === 0 ? 0 : 3;
    }
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
async function lookAtCluster({ kubeconfig, context, allowExec, revision, json }: DoctorOptions): Promise<number> {
  const { look, namespacesOf, refusalOf, revisionOf } = await import("../../clusters/existing/existing.ts");
  const { pinned, found } = await look({
    ...(kubeconfig === undefined ? {} : { kubeconfig }),
    ...(context === undefined ? {} : { context }),
    allowExec,
  });
  const left = await leftovers(pinned);
  const denied = found.permissions.filter(({ allowed }) => !allowed).map(({ what }) => what);
  const refusal = refusalOf(found, revision);
  const chosenRevision = revisionOf(found, revision);
  const would = refusal || !chosenRevision ? undefined : await wouldRun(found, chosenRevision);
  if (json === true) {
    const { kubernetes, revisions, gatewayApi, waypoints, gateways, others } = found;
    const { message, hint } = refusal ?? {};
    printOutput("doctor", {
      cluster: {
        ...{
          context: pinned.context,
          server: pinned.server,
          kubernetes,
          waypoints: waypoints === true,
          others,
          lacking: denied,
          left,
        },
        ...(gatewayApi !== undefined && { gatewayApi }),
        revisions: revisions.map(({ name, namespace, version, jwksFetch, injects }) => ({
          ...{ name, namespace, version, jwksFetch, injects },
        })),
        gateways: gateways.map(({ namespace, name }) => ({ namespace, name })),
        ...(message !== undefined && { refusal: { message, ...(hint !== undefined && { hint }) } }),
        ...(would && {
          scenarios: {
            ...{ all: would.all, run: would.chosen.length },
            skipped: [...would.reasons].map(([because, those]) => ({ because, scenarios: those.length })),
          },
        }),
      },
    });
    return would === undefined ? 2 : 0;
  }
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
  if (refusal) {
    print(`\na run would be refused: ${refusal.message}\n  ${refusal.hint}`);
    return 2;
  }
  if (would === undefined) return 2;
  const { chosen, reasons } = would;
  const { namespace, outsideNamespace } = namespacesOf("<run>");
  print(`
a run would create, and remove:
  in default the Lease run.meshproof.dev and the ConfigMap meshproof-journal-<run>
  the namespaces ${namespace} and ${outsideNamespace}
  in these the workloads ${[...new Set(chosen.flatMap(({ workloads }) => workloads))].sort().join(", ")}, and the policies of each scenario

${chosen.length} of ${would.all} scenarios would run${reasons.size === 0 ? "" : "; the others not:"}
${[...reasons].map(([reason, those]) => `  ${those.length}  ${reason}`).join("\n")}`);
  return 0;
}

/** What a run of all scenarios would do on such a mesh. */
async function wouldRun(found: Survey, revision: Survey["revisions"][number]) {
  const { limitsOf } = await import("../../clusters/existing/existing.ts");
  const [{ choose }, { readProfile }] = await Promise.all([
    import("../../harness/run/eligible.ts"),
    import("../../harness/run/profile.ts"),
  ]);
  const scenarios = await readScenarios(SCENARIOS, [], []);
  const mesh = { istio: revision.version, gatewayApi: found.gatewayApi, waypoints: found.waypoints };
  const limits = limitsOf(found, revision, false);
  const { chosen, skipped } = await choose(scenarios, SCENARIOS, readProfile("istio"), limits, mesh);
  return { all: scenarios.length, chosen, reasons: Map.groupBy(skipped, ({ finding }) => sentence(finding)) };
}
