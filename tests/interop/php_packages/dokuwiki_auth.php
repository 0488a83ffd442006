<?php
// The plug-in authgate: DokuWiki's own user table, with the user whom the gate names in a header.
class auth_plugin_authgate extends auth_plugin_authplain
{
    public function __construct()
    {
        parent::__construct();
        $this->cando['external'] = true;
    }

    public function trustExternal($user, $pass, $sticky = false)
    {
        global $USERINFO;
        $id = isset($_SERVER['HTTP_X_SSO_LOCAL_USER_ID']) ? $_SERVER['HTTP_X_SSO_LOCAL_USER_ID'] : '';
        $known = $id === '' ? false : $this->getUserData($id);
        if (!$known) {
            auth_logoff();
            return false;
        }
        $USERINFO = $known;
        $_SERVER['REMOTE_USER'] = $id;
        return true;
    }
}
