/**
 * The single checks that `validate.ts` and `validate-sampling.ts` are made of. Every refusal is `invalid_request` and
 * names the field. Pure; knows no request.
 */
import { LlamaestroError } from '../base/errors.js';

/** Always throws; typed as a value so that it can end an expression. */
export function refuse(param: string, message: string, details?: Readonly<Record<string, unknown>>): never {
  throw new LlamaestroError('invalid_request', message, { param, ...(details === undefined ? {} : { details }) });
}

/** Throws unless `value` is a boolean or absent. */
export function checkBoolean(param: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'boolean') refuse(param, `${param} must be true or false`);
}

/** Throws unless `value` is an integer in min … max or absent. */
export function checkInteger(param: string, value: unknown, min: number, max: number): void {
  if (value !== undefined && !isIntegerIn(value, min, max)) {
    refuse(param, `${param} must be an integer in ${min} … ${max}`);
  }
}

/** Throws unless `value` is a number in min … max or absent. */
export function checkNumber(param: string, value: unknown, min: number, max: number): void {
  if (value === undefined) return;
  if (typeof value !== 'number' || !(value >= min && value <= max)) {
    refuse(param, `${param} must be a number in ${min} … ${max}`);
  }
}

const MAX_PATH_BYTES = 4096;

/** Throws unless `path` could name a file. */
export function checkPath(param: string, path: unknown): void {
  if (typeof path !== 'string' || path === '' || path.includes('\0') || Buffer.byteLength(path) > MAX_PATH_BYTES) {
    refuse(param, `${param} must be a path of 1 … ${MAX_PATH_BYTES} bytes`);
  }
}

/** True for an integer in min … max. */
export function isIntegerIn(value: unknown, min: number, max: number): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max;
}
