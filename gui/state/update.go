// SPDX-License-Identifier: MIT

package state

import (
	"context"
	"errors"
	"time"

	"glick.org/glick/gui/tr"
	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/apps/trust"
)

// Action is what a person can do in a bundle window.
type Action int

// The actions, each with one verb everywhere.
const (
	NoAction Action = iota
	Open
	Install
	Uninstall
	Update
	Downgrade
	KeepBoth
	Cancel
	Undo
	Close
)

// Event is something that has happened. The window feeds events to Model.Update one after the other.
type Event interface{ event() }

type (
	// Loaded: the identity could be read. Related says whether Installed and Trust are known too; otherwise Refreshed follows.
	Loaded struct {
		Identity  Identity
		Lacks     []Lack
		Related   bool
		Installed []Installed
		Trust     Trust
	}
	// LoadFailed: it could not.
	LoadFailed struct{ Err error }
	// CheckProgress: so many bytes of the file are known to be whole.
	CheckProgress struct{ Done, Total int64 }
	// CheckEnded: the check is over; a cancelled one ends with context.Canceled.
	CheckEnded struct{ Err error }
	// Examined: what this computer lacks for it, and what it adds, are known. Adds is nil when that could not be found out.
	Examined struct {
		Lacks []Lack
		Adds  *Adds
	}
	// SharedKnown: so many bytes of the application are on this computer already.
	SharedKnown struct{ Bytes int64 }
	// Pressed: the person wants something.
	Pressed struct{ Action Action }
	// Dropped: files were dropped on the window; OnTarget when it was on the Applications folder.
	Dropped struct {
		Files    []string
		OnTarget bool
	}
	// Answered: the question that was asked has its answer.
	Answered struct{ Yes bool }
	// MoveChosen: installing is to take the file away, or not.
	MoveChosen struct{ Move bool }
	// TaskProgress: how far the task has come, and how long after its beginning.
	TaskProgress struct {
		Done, Total int64
		At          time.Duration
	}
	// InstallEnded: installing ended; a cancelled one with context.Canceled. With an error that is apps.ErrSourceLeft it is installed.
	InstallEnded struct {
		Err       error
		Installed []Installed // as it is now
		Trust     Trust
		File      string // where the bundle of the window is now
	}
	// UninstallEnded: uninstalling ended.
	UninstallEnded struct {
		Err       error
		Installed []Installed
	}
	// UndoEnded: what Undo took back is back.
	UndoEnded struct {
		Err       error
		Installed []Installed
		File      string // where the bundle of the window is now
	}
	// Refreshed: the installed applications have changed behind the window, or are known now.
	Refreshed struct {
		Installed []Installed
		Trust     Trust
	}
	// Started: the application runs, as far as can be seen.
	Started struct{}
	// StartFailed: it ended at once, or could not be started. Words are its last lines on standard error.
	StartFailed struct {
		Err   error
		Words string
	}
)

func (Loaded) event()         {}
func (LoadFailed) event()     {}
func (CheckProgress) event()  {}
func (CheckEnded) event()     {}
func (Examined) event()       {}
func (SharedKnown) event()    {}
func (Answered) event()       {}
func (MoveChosen) event()     {}
func (Pressed) event()        {}
func (Dropped) event()        {}
func (TaskProgress) event()   {}
func (InstallEnded) event()   {}
func (UninstallEnded) event() {}
func (UndoEnded) event()      {}
func (Refreshed) event()      {}
func (Started) event()        {}
func (StartFailed) event()    {}

// Effect is something to be done outside the model.
type Effect interface{ effect() }

type (
	// DoCheck: find out what it needs and adds, then read the whole file and compare it with its digests.
	DoCheck struct{}
	// DoInstall: copy or move the file into the applications folder. Accept: the person has accepted that it is signed differently.
	DoInstall struct{ KeepBoth, Move, Accept bool }
	// DoRemember: the person has said that this very bundle may be used, and is not to be asked again.
	DoRemember struct{ ID, Digest string }
	// DoRememberMove: how the person wants to install.
	DoRememberMove struct{ Move bool }
	// DoUninstall: take File out of the applications folder, so that it can be undone.
	DoUninstall struct{ File string }
	// DoUndo: take the last install or uninstall back.
	DoUndo struct{}
	// DoStart: start the bundle File.
	DoStart struct{ File string }
	// DoCancel: stop the task.
	DoCancel struct{}
	// DoClose: close the window.
	DoClose struct{}
	// OpenFiles: open a window for each of the files.
	OpenFiles struct{ Files []string }
	// Toast: say Text in passing; with Undo when that is possible.
	Toast struct {
		Text string
		Undo bool
	}
	// Dialog: say what went wrong; it waits for the person.
	Dialog struct{ Cause Cause }
	// Ask: ask the person; Answered follows.
	Ask struct{ Question Question }
)

func (DoCheck) effect()        {}
func (DoInstall) effect()      {}
func (DoRemember) effect()     {}
func (DoRememberMove) effect() {}
func (DoUninstall) effect()    {}
func (DoUndo) effect()         {}
func (DoStart) effect()        {}
func (DoCancel) effect()       {}
func (DoClose) effect()        {}
func (OpenFiles) effect()      {}
func (Toast) effect()          {}
func (Dialog) effect()         {}
func (Ask) effect()            {}

// Update is the model after ev, and what has to be done because of it.
func (m Model) Update(ev Event) (Model, []Effect) {
	switch ev := ev.(type) {
	case Loaded:
		m.Phase, m.Identity, m.Lacks = Ready, ev.Identity, ev.Lacks
		m.Related, m.Installed, m.Trust = ev.Related, ev.Installed, ev.Trust
		if m.lacks(LackFormat) {
			return m, nil // there is nothing to compare it with
		}
		m.Check = Checking
		return m, []Effect{DoCheck{}}
	case LoadFailed:
		m.Phase, m.Cause = Refused, causeOf(ev.Err, m.File)
	case CheckProgress:
		m.CheckDone, m.CheckTotal = ev.Done, ev.Total
	case CheckEnded:
		switch {
		case ev.Err == nil:
			m.Check = Whole
		case errors.Is(ev.Err, context.Canceled):
			m.Check = Unchecked
		default:
			m.Check, m.Damage = Damaged, ev.Err.Error()
		}
	case Examined:
		for _, l := range ev.Lacks {
			if !m.lacks(l.Kind) {
				m.Lacks = append(m.Lacks[:len(m.Lacks):len(m.Lacks)], l)
			}
		}
		m.Adds = ev.Adds
	case SharedKnown:
		m.Shared = ev.Bytes
	case Answered:
		return m.answered(ev.Yes)
	case MoveChosen:
		if ev.Move == m.Move {
			return m, nil
		}
		m.Move = ev.Move
		return m, []Effect{DoRememberMove(ev)}
	case Pressed:
		return m.pressed(ev.Action)
	case Dropped:
		return m.dropped(ev)
	case TaskProgress:
		m.Done, m.Total = ev.Done, ev.Total
		m.speed = m.speed.look(ev.Done, ev.Total, ev.At)
	case InstallEnded:
		return m.installEnded(ev)
	case UninstallEnded:
		_, installed := m.Relation()
		m = m.idle()
		m.Installed = ev.Installed
		if ev.Err != nil {
			return m, []Effect{Dialog{m.failed(tr.T("Could Not Uninstall {name}"), ev.Err)}}
		}
		m.undo, m.Gone = true, installed.File == m.File
		return m, []Effect{Toast{Text: tr.F("{name} uninstalled", "name", m.name()), Undo: true}}
	case UndoEnded:
		m = m.idle()
		m.Installed, m.undo = ev.Installed, false
		if ev.Err != nil {
			return m, []Effect{Dialog{m.failed(tr.T("Could Not Undo"), ev.Err)}}
		}
		m.Gone = false
		if ev.File != "" {
			m.File = ev.File
		}
	case Refreshed:
		if m.Task == Idle || m.Task == Starting || !m.Related {
			m.Installed, m.Trust, m.Related = ev.Installed, m.newTrust(ev.Trust), true
		}
	case Started:
		if m.Task == Starting {
			m = m.idle()
		}
	case StartFailed:
		if m.Task == Starting {
			m = m.idle()
		}
		return m, []Effect{Dialog{m.startCause(ev)}}
	}
	return m, nil
}

// pressed carries an action out if the window offers it now. That is looked up in the view, so that a key, a drop or an
// assistive technology can do exactly what a person sees.
func (m Model) pressed(a Action) (Model, []Effect) {
	switch a {
	case Cancel:
		switch {
		case !m.cancellable():
			return m, []Effect{DoClose{}}
		case m.Cancelling:
			return m, nil
		}
		m.Cancelling = true
		return m, []Effect{DoCancel{}}
	case Close:
		return m, []Effect{DoClose{}}
	case Undo:
		if m.Task != Idle || !m.undo {
			return m, nil
		}
		m.Task = Undoing
		return m, []Effect{DoUndo{}}
	}
	if !m.offers(a) || m.asking != NoAction {
		return m, nil
	}
	if q, ok := m.question(a); ok {
		m.asking = a
		return m, []Effect{Ask{q}}
	}
	return m.begin(a, false)
}

// answered goes on with what was asked about.
func (m Model) answered(yes bool) (Model, []Effect) {
	a := m.asking
	m.asking = NoAction
	if !yes || !m.offers(a) {
		return m, nil
	}
	return m.begin(a, true)
}

// begin does what a person wants. agreed: there was a question, and the answer was yes.
func (m Model) begin(a Action, agreed bool) (Model, []Effect) {
	switch a {
	case Open:
		m.Task = Starting
		start := DoStart{m.File}
		if !agreed {
			return m, []Effect{start}
		}
		m.agreed = true
		if m.Trust.State == trust.Unsigned && !m.damaged() {
			m.Trust.Accepted = true
			return m, []Effect{DoRemember{m.Identity.ID, m.Identity.Digest}, start}
		}
		return m, []Effect{start}
	case Install, Update, Downgrade, KeepBoth:
		m.Task, m.Done, m.Total, m.speed, m.undo = Installing, 0, m.Identity.Size, speed{}, false
		if a == Update {
			m.Task = Updating
		}
		return m, []Effect{DoInstall{KeepBoth: a == KeepBoth, Move: m.moves(), Accept: agreed}}
	case Uninstall:
		_, installed := m.Relation()
		m.Task, m.undo = Uninstalling, false
		return m, []Effect{DoUninstall{installed.File}}
	}
	return m, nil
}

// newTrust is what is known after looking again. When the file could not be read any more it is what was known before.
func (m Model) newTrust(t Trust) Trust {
	if t.State == trust.Unknown && m.Related {
		return m.Trust
	}
	t.Accepted = t.Accepted || m.Trust.Accepted
	return t
}

// moves says whether installing takes the file away.
func (m Model) moves() bool { return m.Move && m.Identity.CanMove }

// dropped installs when the bundle's own icon lands on the folder. Any other file gets its own window, where a person sees what it
// is before anything happens with it, and several get their list.
func (m Model) dropped(ev Dropped) (Model, []Effect) {
	switch {
	case len(ev.Files) == 0:
		return m, nil
	case len(ev.Files) > 1 || ev.Files[0] != m.File:
		return m, []Effect{OpenFiles{ev.Files}}
	case !ev.OnTarget || m.dropAction() == NoAction:
		return m, nil
	}
	return m.pressed(m.dropAction())
}

// dropAction is what dragging the icon onto the folder does: what the button does that installs in the ordinary way.
func (m Model) dropAction() Action {
	a := m.mainInstall()
	if a != NoAction && m.offers(a) {
		return a
	}
	return NoAction
}

// mainInstall is the ordinary way to install the bundle; none when it is installed.
func (m Model) mainInstall() Action {
	switch rel, _ := m.Relation(); rel {
	case NotInstalled:
		return Install
	case SameInstalled:
		return NoAction
	case NewerInstalled:
		return KeepBoth
	default:
		return Update
	}
}

// offers says whether a is an enabled button now.
func (m Model) offers(a Action) bool {
	for _, b := range m.buttons() {
		if b.Action == a && b.Enabled {
			return true
		}
	}
	return false
}

func (m Model) installEnded(ev InstallEnded) (Model, []Effect) {
	update := m.Task == Updating
	m = m.idle()
	m.Installed, m.Trust = ev.Installed, m.newTrust(ev.Trust)
	left := errors.Is(ev.Err, apps.ErrSourceLeft)
	if ev.File != "" {
		m.File = ev.File
	}
	switch {
	case left:
	case errors.Is(ev.Err, context.Canceled):
		return m, []Effect{Toast{Text: tr.T("Cancelled. Nothing was changed.")}}
	case ev.Err != nil:
		title := tr.T("Could Not Install {name}")
		if update {
			title = tr.T("Could Not Update {name}")
		}
		return m, []Effect{Dialog{m.failed(title, ev.Err)}}
	}
	m.undo = true
	text := tr.F("{name} installed", "name", m.name())
	if update {
		text = tr.F("{name} updated", "name", m.name())
	}
	if left {
		text = tr.F("{name} installed. The downloaded file could not be removed.", "name", m.name())
	}
	return m, []Effect{Toast{Text: text, Undo: true}}
}

// cancellable says whether the task can be stopped half way.
func (m Model) cancellable() bool { return m.Task == Installing || m.Task == Updating }

// idle ends the task.
func (m Model) idle() Model {
	m.Task, m.Done, m.Total, m.Cancelling, m.speed = Idle, 0, 0, false, speed{}
	return m
}

// failed is FailedCause for this window's file.
func (m Model) failed(title string, err error) Cause {
	return FailedCause(tr.Fill(title, "name", m.name()), err, m.File)
}

func (m Model) startCause(ev StartFailed) Cause { return StartCause(m.name(), ev.Err, ev.Words) }
