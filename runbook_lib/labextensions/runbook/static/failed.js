// When a cell fails, show it. JupyterLab goes to a notebook's last cell as soon as all cells are
// run, and stays there: whoever ran them would see cells that did not run, and no reason.
//
// Written by hand in the form that JupyterLab loads: `init` gets the modules that it shares,
// `get` gives the plugin.
(() => {
  let shared;

  async function show(notebook, cell) {
    notebook.activeCellIndex = notebook.widgets.indexOf(cell);
    notebook.deselectAll();
    await notebook.scrollToItem(notebook.activeCellIndex, 'center');
    await cell.ready;
    cell.outputArea?.node.scrollIntoView({ block: 'center' });
  }

  const plugin = {
    id: 'runbook:failed',
    description: 'Shows the cell that failed, instead of the last one.',
    autoStart: true,
    activate: async () => {
      const [module] = Object.values(shared['@jupyterlab/notebook']);
      const { NotebookActions } = (await module.get())();
      NotebookActions.executed.connect((_, { notebook, cell, error }) => {
        // The cells behind it end without success too, but with no error of their own.
        if (error?.errorName) show(notebook, cell).catch(console.error);
      });
    },
  };

  window._JUPYTERLAB = window._JUPYTERLAB ?? {};
  window._JUPYTERLAB.runbook = {
    init: (modules) => { shared = modules; },
    get: async () => () => ({ __esModule: true, default: plugin }),
  };
})();
