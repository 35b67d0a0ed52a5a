import { open } from "node:fs/promises";

/**
 * Texts in an Envoy with all of Istio's extensions that istiod configures by default: the Protobuf packages of `istio.alpn`
 * and of both `istio.metadata_exchange` (TCP, HTTP), and the registered name of `istio.stats`. A program contains its
 * message descriptors as plain bytes. (istio/istio pilot/pkg/xds/filters/filters.go, istio/proxy source/extensions.)
 */
export const FILTER_MARKS: readonly string[] = [
  "istio.envoy.config.filter.http.alpn.v2alpha1",
  "envoy.tcp.metadataexchange.config",
  "io.istio.http.peer_metadata",
  "envoy.filters.http.istio_stats",
];

const CHUNK_BYTES = 1 << 20;

/**
 * Whether an Envoy has Istio's own filters. One that lacks some counts as upstream's: a listener that names a filter which
 * is not there is refused as a whole, and a mesh without these filters decides the same.
 * @param program path of Envoy
 */
export async function hasIstioFilters(program: string): Promise<boolean> {
  // A mark may lie across two chunks.
  const overlap = Math.max(...FILTER_MARKS.map(({ length }) => length)) - 1;
  const missing = new Set(FILTER_MARKS);
  const buffer = Buffer.alloc(overlap + CHUNK_BYTES);
  await using file = await open(program);
  for (let kept = 0; missing.size > 0;) {
    const { bytesRead } = await file.read(buffer, kept, CHUNK_BYTES);
    if (bytesRead === 0) return false;
    const seen = buffer.subarray(0, kept + bytesRead);
    for (const mark of missing) if (seen.includes(mark)) missing.delete(mark);
    kept = Math.min(overlap, seen.length);
    seen.copyWithin(0, seen.length - kept);
  }
  return true;
}
