/**
 * How hard the CPUs of this machine are fought over: the share of time in which something was ready to run and had to wait.
 * Linux tells it for the machine and for a container's own share; elsewhere it is guessed from the load. Reads, decides nothing.
 */
import { readFile } from 'node:fs/promises';
import { availableParallelism, loadavg } from 'node:os';

/** 0: nobody waits; 1: somebody always does. */
export type CpuPressure = () => Promise<number>;

/** Of the machine, and of the control group this process is in when that is a container's. */
const FILES = ['/proc/pressure/cpu', '/sys/fs/cgroup/cpu.pressure'];

/** The pressure of the last ten seconds; the higher one where there are two. */
export function machinePressure(files: readonly string[] = FILES): CpuPressure {
  return async () => {
    const texts = await Promise.all(files.map((file) => readFile(file, 'utf8').catch(() => '')));
    const told = texts.map(someOf).filter((share) => share !== undefined);
    return told.length > 0 ? Math.max(...told) : pressureOfLoad(loadavg()[0] ?? 0, availableParallelism());
  };
}

/** `some avg10=12.34 …` as 0.1234; undefined where no such line is. */
export function someOf(text: string): number | undefined {
  const percent = /^some .*?avg10=(\d+(?:\.\d+)?)/m.exec(text)?.[1];
  return percent === undefined ? undefined : Number(percent) / 100;
}

/** What waits beyond what the CPUs can take, as a share of all that is ready to run. */
export function pressureOfLoad(load: number, cpus: number): number {
  return load <= cpus ? 0 : (load - cpus) / load;
}
