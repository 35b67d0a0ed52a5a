/**
 * Whether the workloads behind a gateway have sidecars, where the ticket does not show it: policies without a selector are enforced at
 * their sidecars, if there are any. The ticket is asked both ways then.
 */

import type { Difference, Outcome, ReproAnswer, Seen } from "../model/ticket.ts";
import { agrees, isSeen } from "./outcome.ts";
import { isAtApiGateway, selectorOf, type Workload } from "./services.ts";
import type { TicketObject } from "./ticket.ts";
import { isKind, isOfGatewayApi, isPolicy } from "./understood.ts";
import { ROOT_NAMESPACE } from "../model/cluster.ts";

/** The workloads that may have no sidecar, although a policy of the ticket would be enforced there. */
export function openSidecars(
  workloads: readonly Workload[],
  objects: readonly TicketObject[],
  nsOf: (object: TicketObject) => string,
): Workload[] {
  // Who shows no gateway takes it for granted that policies are enforced at the workloads.
  if (!objects.some((one) => isKind(one, "Gateway") || isOfGatewayApi(one, "Gateway"))) return [];
  const known = new Set(objects.flatMap((one) => (isKind(one, "Namespace") ? one.metadata.name : [])));
  const policies = objects.filter((one) => isPolicy(one) && !isAtApiGateway(one));
  return workloads.filter(({ namespace, labels, annotations, sidecar }) => {
    const told = { ...annotations, ...labels };
    if (known.has(namespace) || told["sidecar.istio.io/inject"] !== undefined || !sidecar) return false;
    const near = policies.filter((one) => [namespace, ROOT_NAMESPACE].includes(nsOf(one)));
    // Who selects these pods, or sets mTLS for them, has sidecars there.
    const shown =
      near.some((one) => {
        const chosen = Object.entries(selectorOf(one));
        return chosen.length > 0 && chosen.every(([key, value]) => labels[key] === value);
      }) ||
      near.some((one) => one.kind === "PeerAuthentication") ||
      objects.some((one) => isKind(one, "Sidecar") && nsOf(one) === namespace);
    return !shown && near.some((one) => Object.keys(selectorOf(one)).length === 0);
  });
}

/** What the reporter expected and saw. */
interface Told {
  readonly expected?: Outcome | undefined;
  readonly seen?: Seen | undefined;
}

/** Which of two answers is the reporter's: what they saw, or what they did not expect. Undefined where that does not tell. */
export function reportersOf<Answer extends Pick<ReproAnswer, "verdict">>(
  answers: readonly [Answer, Answer],
  { expected, seen }: Told,
): Answer | undefined {
  const fits = answers.filter(({ verdict }) =>
    seen !== undefined ? isSeen(verdict, seen) : expected !== undefined && !agrees(verdict, expected),
  );
  return fits.length === 1 ? fits[0] : undefined;
}

export function isSame({ verdict: one }: Pick<ReproAnswer, "verdict">, { verdict }: Pick<ReproAnswer, "verdict">) {
  return one.status === verdict.status && one.by === verdict.by;
}

/** The answer with what the other one of {@link openSidecars} is. */
export function withOther(
  answer: ReproAnswer,
  { verdict: other }: ReproAnswer,
  workloads: readonly Workload[],
  sidecar: boolean,
  decides: Difference["decides"],
): ReproAnswer {
  const { verdict } = answer;
  const difference: Difference = {
    ...{ kind: "sidecar-open", of: workloads.map(({ of }) => of), sidecar },
    ...{ main: { status: verdict.status, by: verdict.by }, other: { status: other.status, by: other.by }, decides },
  };
  return {
    ...answer,
    reproduced: answer.reproduced && decides === "no",
    differences: decides === "no" ? [...answer.differences, difference] : [difference, ...answer.differences],
  };
}
