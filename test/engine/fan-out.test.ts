import { expect } from 'chai';
import { StepListeners, callListener } from '../../src/engine/fan-out.js';

describe('engine/fan-out', () => {
  it('calls the others when a listener throws, and lets the exception be seen as an uncaught one', async () => {
    const mochas = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    const seen = new Promise((resolve) => process.once('uncaughtException', resolve));
    try {
      const calls: string[] = [];
      const listeners = new StepListeners();
      listeners.add(() => {
        throw new Error('from a listener');
      });
      listeners.add(() => calls.push('second'));
      listeners.call();
      callListener((name: string) => calls.push(name), 'third');
      expect(calls).to.deep.equal(['second', 'third']);
      expect(await seen).to.have.property('message', 'from a listener');
    } finally {
      for (const listener of mochas) process.on('uncaughtException', listener);
    }
  });

  it('keeps equal functions apart and removes each once', () => {
    const listeners = new StepListeners();
    let calls = 0;
    const count = (): void => void (calls += 1);
    const remove = listeners.add(count);
    listeners.add(count);
    listeners.call();
    expect(calls).to.equal(2);
    remove();
    remove();
    listeners.call();
    expect(calls).to.equal(3);
  });
});
