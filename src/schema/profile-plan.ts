/**
 * What a profile would take of a machine's memory, as the API and the command line tell it. Plain types; `profile/fit`
 * fills them.
 */
import type { WireError } from '../base/errors.js';
import type { ModelSource, Role } from './profile.js';

/** Bytes by device id. */
export type BytesByDevice = Readonly<Record<string, number>>;

export interface PlannedModel {
  readonly name: string;
  readonly role: Role;
  /** Resident or pinned: once it is loaded it does not leave to make room. */
  readonly stays: boolean;
  readonly pinned: boolean;
  /** unknown: nobody could be asked. */
  readonly state: 'planned' | 'missing' | 'unusable' | 'unknown';
  /** Absolute; of a missing model the file that is not there. */
  readonly file: string;
  readonly source?: ModelSource;
  /** Present when planned. */
  readonly bytes?: BytesByDevice;
  readonly weightsBytes?: number;
  readonly kvBytes?: number;
  readonly computeBytes?: number;
  readonly gpuLayers?: number;
  readonly error?: WireError;
}

export interface PlannedDevice {
  readonly device: string;
  readonly totalBytes: number;
  /** What all models together may take: the budget, or the device less what stays free for others, whichever is tighter. */
  readonly roomBytes: number;
  /** What each process counts on top of its plan. */
  readonly overheadBytes: number;
  /** Of the models that stay; where the device itself is tighter, what processes take beyond their plans included. */
  readonly stayingBytes: number;
  /** The same with the largest of the others beside them. */
  readonly worstBytes: number;
  /** That largest one; absent when all stay. */
  readonly worstModel?: string;
}

/** One thing that a switch does, in order. Bytes by device are those held once it is done; `bytes` is what moves. */
export interface SwitchStep {
  readonly action: 'load' | 'unload';
  /** Models that share a process are one: 'embedder+router'. So in all lists of a plan. */
  readonly model: string;
  readonly bytes: BytesByDevice;
  /** Of a load: with everything old still there, or only once room was made. */
  readonly order?: 'load-first' | 'leave-first';
  /** Milliseconds it will probably take; absent where nothing was measured yet. */
  readonly expectedMs?: number;
}

/** Bytes of one device in the course of a switch. */
export interface SwitchDevice {
  readonly device: string;
  readonly roomBytes: number;
  readonly beforeBytes: number;
  readonly worstBytes: number;
  readonly afterBytes: number;
}

/** How one profile would take the place of another. */
export interface SwitchPlan {
  /** Loaded models that keep their process, by their names in the new profile. */
  readonly stays: readonly string[];
  /** Loaded models that end, by their names in the old one. */
  readonly leaves: readonly string[];
  /** Loaded models on demand of both profiles that end to make room, by their names in the old one; who asks loads them again. */
  readonly makesRoom: readonly string[];
  /** Models that are loaded in the course of it. */
  readonly comes: readonly string[];
  readonly steps: readonly SwitchStep[];
  readonly devices: readonly SwitchDevice[];
  /** The sum over the steps; absent where a step is not known. */
  readonly expectedMs?: number;
  /** Coming models for which there is never room beside what stays and what came before them. */
  readonly impossible: readonly string[];
}

/** Why the models of a profile do not go together. */
export interface FitProblem {
  readonly device: string;
  readonly models: readonly string[];
  readonly message: string;
  readonly remedy: string;
}

export interface ProfilePlan {
  readonly profile: string;
  readonly origin: string;
  /** Nothing that is known speaks against it; models that are missing or unknown count nothing. */
  readonly fits: boolean;
  readonly models: readonly PlannedModel[];
  readonly devices: readonly PlannedDevice[];
  readonly problems: readonly FitProblem[];
  readonly warnings: readonly string[];
  /** From what runs now; absent where nothing runs. */
  readonly switch?: SwitchPlan;
}

/** One thing that is wrong with a profile file. */
export interface ReportedProblem {
  readonly file: string;
  readonly line?: number;
  readonly column?: number;
  readonly path?: string;
  readonly message: string;
  readonly remedy: string;
}

/** A model file held against the checksum that its source names. */
export interface CheckedSum {
  readonly model: string;
  readonly file: string;
  readonly matches: boolean;
}

/** What `llamaestro validate` found. */
export interface ValidationReport {
  readonly file: string;
  readonly valid: boolean;
  readonly problems: readonly ReportedProblem[];
  readonly warnings: readonly string[];
  /** Absent for a file that is not valid, and where nobody was to plan. */
  readonly plan?: ProfilePlan;
  readonly sums?: readonly CheckedSum[];
}
