import { randomBytes } from "node:crypto";
import { MeshproofError } from "../model/errors.ts";
import { readRound, writeRound, type WireAnswer, type WireRequest } from "../probe/curl.ts";
import type { ContainerRef, ExecResult } from "../mesh/exec.ts";
import type { Place } from "./places.ts";

/** Runs curl in a container with this config (`--config -`). */
export type Curl = (where: ContainerRef, config: Buffer) => Promise<ExecResult>;

/** Seconds for one request. A JWKS that a proxy must fetch may take its full 5 s (Istio's jwtRules.timeout default). */
const MAX_TIME = 8;

/** A request and where it is sent from. */
export interface PlacedRequest {
  readonly place: Place;
  readonly request: WireRequest;
}

/**
 * Sends all requests: one curl process per place, the places side by side.
 * @returns answers in the order of the requests.
 * @throws ERR_PROBE where a place's curl does not run or ends early.
 */
export async function sendRound(curl: Curl, requests: readonly PlacedRequest[]): Promise<WireAnswer[]> {
  const answers: WireAnswer[] = [];
  const groups = Map.groupBy(requests.keys(), (i) => (requests[i] as PlacedRequest).place);
  await Promise.all(
    [...groups].map(async ([place, indexes]) => {
      const boundary = `--meshproof-${randomBytes(16).toString("hex")}`;
      const config = writeRound(
        indexes.map((i) => (requests[i] as PlacedRequest).request),
        { boundary, maxTime: MAX_TIME },
      );
      const result = await curl(place.container, config);
      const read = readRound(result.stdout, boundary);
      if (read.length !== indexes.length) {
        throw new MeshproofError(
          "ERR_PROBE",
          `curl in ${place.container.namespace}/${place.container.pod} answered ${read.length} of ${indexes.length} requests (exit code ${result.exitCode}): ${result.stderr.slice(0, 500)}`,
        );
      }
      for (const [n, i] of indexes.entries()) answers[i] = read[n] as WireAnswer;
    }),
  );
  return answers;
}
