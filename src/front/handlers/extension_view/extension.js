// Does what the page's configuration cannot say. It runs in the browser, in the page of one extension only.
'use strict';
const vscode = require('vscode');

/** The place of our own, for a view that its extension has put between those of the editor. */
const PLACE = 'workbench.view.extension.hoody-extension-view';

exports.activate = async (context) => {
  const { extension, view } = context.extension.packageJSON.hoody;
  const run = vscode.commands.executeCommand;
  const page = () => run('extension.open', extension);
  try {
    switch (view.kind) {
      case 'side':
        if (!view.container.startsWith('workbench.view.extension.')) {
          await run('vscode.moveViews', { viewIds: [view.view], destinationId: PLACE });
        }
        // A view that shows late, or was closed, gets the focus.
        await run(`${view.view}.focus`);
        break;
      case 'panel':
        await run('workbench.action.closeSidebar');
        await run(`${view.view}.focus`);
        break;
      case 'custom_editor': {
        await run('workbench.action.closeSidebar');
        const open = vscode.window.tabGroups.all.some((group) => group.tabs.length > 0);
        const file = open ? undefined : await first(view.patterns);
        if (file) await run('vscode.openWith', file, view.editor);
        else if (!open) await page();
        break;
      }
      case 'command':
        await run('workbench.action.closeSidebar');
        await run(view.command);
        break;
      case 'commands':
        await run('workbench.action.closeSidebar');
        await page();
        await run('workbench.action.quickOpen', `>${view.search}`);
        break;
      default:
        await run('workbench.action.closeSidebar');
        await page();
    }
  } catch (error) {
    console.warn(`extension view of ${extension}: ${error}`);
    await page();
  }
};

/** The first file of the folder that one of the patterns means. */
async function first(patterns) {
  for (const pattern of patterns) {
    const [file] = await vscode.workspace.findFiles(pattern.includes('/') ? pattern : `**/${pattern}`, undefined, 1);
    if (file) return file;
  }
}
