// SPDX-License-Identifier: MIT

package work

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"glick.org/glick/bundle"
	"glick.org/glick/gui/state"
	"glick.org/glick/xdgexport/apps"
	"glick.org/glick/xdgexport/sessionbus"
)

// Removal is what was removed, and can be brought back as long as this process keeps it.
type Removal struct {
	back []func() error // the last one first
}

// Back brings all of it back that can be brought back. It may be called once.
func (r *Removal) Back(ctx context.Context) error {
	err := r.undo()
	Refresh(ctx)
	return err
}

func (r *Removal) undo() error {
	var errs []error
	for _, f := range slices.Backward(r.back) {
		errs = append(errs, f())
	}
	r.back = nil
	return errors.Join(errs...)
}

// Remove uninstalls bundle files, and moves folders of the application's data to the Trash. When something cannot be done nothing is: what was done is
// taken back. Folders that are not what DataFolders lists for the id are refused.
func Remove(ctx context.Context, id string, files []string, data []state.DataFolder) (*Removal, error) {
	r := &Removal{}
	fail := func(err error) (*Removal, error) { return nil, errors.Join(err, r.undo()) }
	for _, file := range files {
		back, err := sessionbus.Uninstall(ctx, file)
		if err != nil {
			return fail(err)
		}
		r.back = append(r.back, back)
	}
	for _, d := range data {
		// The path is made anew: nothing but the kind is believed.
		base, known := dataBases()[d.Kind]
		if !known || bundle.ValidID(id) != nil {
			return fail(errors.New("it is not a folder of the application's data"))
		}
		back, err := moveToTrash(filepath.Join(base, id), func(st *unix.Stat_t) error {
			if st.Mode&unix.S_IFMT != unix.S_IFDIR || int(st.Uid) != os.Geteuid() {
				return errors.New("it is not a folder of yours any more")
			}
			return nil
		})
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fail(err)
		}
		if err == nil {
			r.back = append(r.back, back)
		}
	}
	Refresh(ctx)
	return r, nil
}

// Discard moves a file that cannot be used from the user's folders of applications to the Trash.
func Discard(ctx context.Context, file string) (*Removal, error) {
	if !apps.OwnFolder(filepath.Dir(file)) {
		return nil, apps.ErrNotOurs
	}
	back, err := moveToTrash(file, func(st *unix.Stat_t) error {
		if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFREG && kind != unix.S_IFLNK {
			return errors.New("it is not a file any more")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	Refresh(ctx)
	return &Removal{back: []func() error{back}}, nil
}
