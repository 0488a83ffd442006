<?php

/** Finds, links and creates users of WordPress, and gives them roles. */
class Sso_Login_Users
{
    const SUB = '_sso_login_sub';
    const ROLES = '_sso_login_roles';

    /**
     * Return the user of WordPress for the claims of somebody who signed in, and link the two.
     *
     * An administrator is not linked here: whoever can change an address or a NIP would become one. The profile page links.
     *
     * @throws SsoException when there is none, or more than one
     */
    public function find(array $claims)
    {
        $linked = array('sub' => self::subject($claims['sub'])) + $claims;
        $columns = array('sub' => self::SUB, 'local_user_id' => 'ID');
        if (Sso_Login_Settings::get('nip') !== '') {
            $columns['nip'] = Sso_Login_Settings::get('nip');
        }
        if (Sso_Login_Settings::get('email')) {
            $columns['email'] = 'user_email';
        }
        $row = SsoClient::matchLocalUser($linked, $columns, array($this, 'rows'));
        if ($row === null) {
            return $this->create($claims, $linked['sub']);
        }
        $user = get_user_by('id', (int) $row['ID']);
        if ($row[self::SUB] === '') {
            if (user_can($user, 'manage_options')) {
                throw new SsoException('local_user', Sso_Login_Texts::get('An administrator of this site must first link the account: sign in with the password, and open the profile.'));
            }
            update_user_meta($user->ID, self::SUB, wp_slash($linked['sub']));
        }
        return $user;
    }

    /** Link a user who is signed in to WordPress already. */
    public function link(WP_User $user, array $claims)
    {
        $subject = self::subject($claims['sub']);
        foreach ($this->rows(self::SUB, $subject) as $row) {
            if ((int) $row['ID'] !== $user->ID) {
                throw new SsoException('local_user', Sso_Login_Texts::get('This city account is linked to another user of this site.'));
            }
        }
        update_user_meta($user->ID, self::SUB, wp_slash($subject));
    }

    public static function isLinked($userId)
    {
        return (string) get_user_meta($userId, self::SUB, true) !== '';
    }

    private static function given(WP_User $user)
    {
        $given = get_user_meta($user->ID, self::ROLES, true);
        return is_array($given) ? $given : array();
    }

    /** Tell whether a user administers this site, also without the roles that the provider gave. */
    public static function isLocalAdministrator(WP_User $user)
    {
        $own = clone $user;
        $own->caps = array_diff_key($own->caps, array_flip(self::given($user)));
        $own->get_role_caps();
        return $own->has_cap('manage_options');
    }

    /** Take the roles that the provider gave: they count only while the user is signed in by the provider. */
    public static function takeRoles(WP_User $user)
    {
        foreach (self::given($user) as $role) {
            $user->remove_role($role);
        }
        delete_user_meta($user->ID, self::ROLES);
    }

    private static function subject($sub)
    {
        return Sso_Login_Settings::get('issuer') . ' ' . $sub;
    }

    /** Return the users with a value in a column of the table, or in a field of user meta. */
    public function rows($column, $value)
    {
        if ($column === 'ID') {
            $users = array_filter(array(ctype_digit($value) ? get_user_by('id', (int) $value) : false));
        } elseif ($column === 'user_email') {
            $users = array_filter(array(get_user_by('email', $value)));
        } else {
            $users = get_users(array('meta_key' => $column, 'meta_value' => $value, 'number' => 3));
        }
        return array_map(function ($user) use ($column) {
            $row = array('ID' => (string) $user->ID, 'user_email' => $user->user_email);
            foreach (array_unique(array(self::SUB, $column)) as $meta) {
                $row += array($meta => (string) get_user_meta($user->ID, $meta, true));
            }
            return $row;
        }, array_values($users));
    }

    private function create(array $claims, $subject)
    {
        if (!Sso_Login_Settings::get('create')) {
            throw new SsoException('local_user', Sso_Login_Texts::get('This site has no account for you. Ask its administrator.'));
        }
        $name = isset($claims['name']) && is_string($claims['name']) ? sanitize_text_field($claims['name']) : '';
        $mail = isset($claims['email'], $claims['email_verified']) && $claims['email_verified'] === true ? $claims['email'] : '';
        $id = wp_insert_user(wp_slash(array(
            'user_login' => 'sso-' . substr(hash('sha256', $subject), 0, 24), // never a name that somebody chose
            'user_pass' => wp_generate_password(64, true, true),
            'display_name' => $name,
            'nickname' => $name,
            'user_email' => email_exists($mail) ? '' : $mail,
            'role' => Sso_Login_Settings::get('role'),
        )));
        if (is_wp_error($id)) {
            throw new SsoException('local_user', Sso_Login_Texts::get('This site has no account for you. Ask its administrator.'));
        }
        update_user_meta($id, self::SUB, wp_slash($subject));
        return get_user_by('id', $id);
    }

    /** Give the roles of the closed list, and take those that an earlier sign-in gave. Other roles stay. */
    public function applyRoles(WP_User $user, array $claims)
    {
        $has = isset($claims['roles']) && is_array($claims['roles']) ? $claims['roles'] : array();
        $wanted = array_values(array_unique(array_intersect_key(Sso_Login_Settings::roles(), array_flip(array_filter($has, 'is_string')))));
        $given = self::given($user);
        if ($wanted === $given) {
            return;
        }
        foreach (array_diff($given, $wanted) as $role) {
            $user->remove_role($role);
        }
        $added = array();
        foreach ($wanted as $role) {
            if (in_array($role, $given, true) || !in_array($role, $user->roles, true)) {
                $user->add_role($role);
                $added[] = $role;
            }
        }
        update_user_meta($user->ID, self::ROLES, $added);
    }
}
