/** How Envoy reads an ECDSA signature (jwt_verify_lib, verifySignatureEC): as two numbers, each half as long as the whole. */

const SIZES: Readonly<Record<string, number>> = { ES256: 32, ES384: 48, ES512: 66 };

/**
 * The signature with both numbers as long as RFC 7518 wants them. Envoy ignores an odd last byte, and zeros before a number; undefined
 * where a number is longer than any of the curve.
 */
export function readEcdsa(alg: string, signature: Buffer): Buffer | undefined {
  const size = SIZES[alg];
  if (size === undefined) return signature;
  const half = signature.length >> 1;
  const numbers = [signature.subarray(0, half), signature.subarray(half, 2 * half)].map((bytes) => {
    const start = bytes.findIndex((byte) => byte !== 0);
    return start === -1 ? bytes.subarray(0, 0) : bytes.subarray(start);
  });
  if (numbers.some(({ length }) => length > size)) return undefined;
  return Buffer.concat(numbers.flatMap((number) => [Buffer.alloc(size - number.length), number]));
}
